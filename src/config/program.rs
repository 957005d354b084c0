//! Which file a command stands for, found once at load.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode};

use super::reader::Scope;
use super::values::Text;

/// The file of a command: a name without a slash is looked for in `path`, the PATH that the server
/// will get; a relative path is taken from `base`. What is not found is kept as it is, with a warning:
/// it fails that server's start and no other's. `None` after a fault.
pub(super) fn locate(
    command: &Text,
    path: Option<&OsStr>,
    base: &Path,
    scope: &mut Scope<'_>,
) -> Option<PathBuf> {
    if command.value.is_empty() {
        return scope.fault(&command.place, "is empty, expected a program");
    }
    let Some(named) = scope.env.path(&command.value) else {
        let text = "begins with \"~\", and there is no home directory";
        return scope.fault(&command.place, text);
    };
    if named.as_os_str().as_bytes().contains(&b'/') {
        let file = base.join(named);
        if !is_executable(&file) {
            let (file, hint) = (file.display(), arguments_hint(command));
            scope.warn(
                &command.place,
                format!("{file} is missing or not executable; the server cannot start until that is mended{hint}"),
            );
        }
        return Some(file);
    }
    let found = search(&named, path, command, scope);
    if found.is_none() {
        let hint = arguments_hint(command);
        let place = if path.is_some() {
            "was not found in the server's PATH"
        } else {
            "was not found, because the server gets no PATH"
        };
        scope.warn(&command.place, format!("{} {place}{hint}", command.shown()));
    }
    Some(found.unwrap_or(named))
}

/// What to say beside a program that does not exist: with white space in it, it is one with its arguments.
fn arguments_hint(command: &Text) -> &'static str {
    if command.value.contains(char::is_whitespace) {
        ", and arguments go into \"args\""
    } else {
        ""
    }
}

/// Looks for a name in the absolute directories of a PATH.
fn search(
    name: &Path,
    path: Option<&OsStr>,
    command: &Text,
    scope: &mut Scope<'_>,
) -> Option<PathBuf> {
    for directory in std::env::split_paths(path?) {
        if !directory.is_absolute() {
            let text = "PATH has a relative directory, which is passed over";
            scope.warn(&command.place, text);
            continue;
        }
        if is_writable_by_all(&directory) {
            let text = format!(
                "PATH has {}, where any user can put a program",
                directory.display()
            );
            scope.warn(&command.place, text);
        }
        let file = directory.join(name);
        if is_executable(&file) {
            return Some(file);
        }
    }
    None
}

fn is_executable(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, Access::EXEC_OK).is_ok()
}

fn is_writable_by_all(directory: &Path) -> bool {
    rustix::fs::stat(directory)
        .is_ok_and(|stat| Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH))
}
