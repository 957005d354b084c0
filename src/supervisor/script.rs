//! Why a file that exists cannot be executed: the interpreter that its first line names.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// As much of a file as Linux looks at (`BINPRM_BUF_SIZE`).
const HEAD: u64 = 256;
/// Characters of an interpreter that are shown.
const MAX_SHOWN: usize = 200;

/// The sentence of a program that could not be executed.
pub(super) fn cannot_execute(program: &Path, error: &io::Error) -> String {
    let text = format!("cannot execute {}: {error}", program.display());
    let cause = match error.kind() {
        io::ErrorKind::NotFound if program.exists() => fault_of(program),
        io::ErrorKind::NotFound => arguments_in(program),
        io::ErrorKind::PermissionDenied if program.is_file() => {
            Some("the file may not be executed by this user: chmod +x it".to_owned())
        }
        _ => fault_of(program),
    };
    match cause {
        Some(cause) => format!("{text}; {cause}"),
        None => text,
    }
}

/// What is wrong with the first line of a script, or with a binary whose loader is not there.
pub(super) fn fault_of(program: &Path) -> Option<String> {
    let mut head = Vec::new();
    File::open(program)
        .ok()?
        .take(HEAD)
        .read_to_end(&mut head)
        .ok()?;
    if head.starts_with(b"\x7fELF") {
        let exists =
            "it is a binary for another system: its loader, or the architecture, is not here";
        return Some(exists.to_owned());
    }
    let line = head
        .strip_prefix(b"#!")?
        .split(|byte| *byte == b'\n')
        .next()?;
    if line.ends_with(b"\r") {
        return Some(format!(
            "its first line, \"#!{}\", ends in CRLF, and so the interpreter is not found: give the file LF line ends",
            shown(line)
        ));
    }
    let interpreter = line
        .trim_ascii()
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .next()
        .filter(|interpreter| !interpreter.is_empty())?;
    let path = Path::new(std::ffi::OsStr::from_bytes(interpreter));
    (!path.exists()).then(|| {
        format!(
            "its interpreter \"{}\", named in its first line, does not exist",
            shown(interpreter)
        )
    })
}

/// A command that does not exist and holds white space is one with its arguments.
fn arguments_in(program: &Path) -> Option<String> {
    let has_space = program
        .as_os_str()
        .as_bytes()
        .iter()
        .any(u8::is_ascii_whitespace);
    has_space.then(|| {
        "\"command\" is a program alone, its arguments go into \"args\", each as an element of its own".to_owned()
    })
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let escaped = super::stderr::escape_controls(&text);
    super::diagnosis::shortened(&escaped, MAX_SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("server");
        std::fs::write(&program, text).unwrap();
        let missing = io::Error::from(io::ErrorKind::NotFound);
        cannot_execute(&program, &missing)
    }

    /// RB06: the interpreter is named, not the script that is there.
    #[test]
    fn a_script_whose_interpreter_is_not_found_names_it() {
        let gone = fault(b"#! /opt/gone/python -u\nprint()\n");
        assert!(gone.contains("\"/opt/gone/python\""), "{gone}");
        let crlf = fault(b"#!/usr/bin/env node\r\n");
        assert!(crlf.contains("node\\r") && crlf.contains("CRLF"), "{crlf}");
        let hostile = fault(b"#!/\x1b[31m\x07\n");
        assert!(!hostile.contains('\x1b'), "{hostile}");
        let binary = fault(b"\x7fELF\x02");
        assert!(binary.contains("another system"), "{binary}");
        for other in [&b"#!/bin/sh\n"[..], b"#!", b"#!\n", b"", b"echo"] {
            assert!(!fault(other).contains(';'), "{other:?}");
        }
    }

    /// RB06: a command line is no program.
    #[test]
    fn arguments_inside_the_command_are_told_of() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let with = cannot_execute(Path::new("/nowhere/npx -y pkg"), &missing);
        assert!(with.contains("\"args\""), "{with}");
        let without = cannot_execute(Path::new("/nowhere/npx"), &missing);
        assert!(!without.contains("\"args\""), "{without}");
    }
}
