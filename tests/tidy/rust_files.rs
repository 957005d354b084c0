//! What every Rust file has in common: a head, a length, a name, and nothing unsafe or silenced.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::assert_tidy;
use crate::files::{self, File};

/// The longest that a file may be, in lines, tests included.
const LONGEST: usize = 400;

/// The one file that may say `unsafe`.
const UNSAFE: &str = "src/lifecycle/allocator_glibc.rs";

fn complaints(file: &File) -> Vec<String> {
    let name = file.name();
    let mut found = Vec::new();
    let head = file.text.lines().find(|line| !line.trim().is_empty());
    if !head.is_some_and(|line| line.starts_with("//! ")) {
        found.push(format!(
            "{name}: the first line is no `//!` that says what the file is for"
        ));
    }
    let lines = file.text.lines().count();
    if lines > LONGEST {
        found.push(format!("{name}: {lines} lines, expected {LONGEST} at most"));
    }
    if file.path.file_name().is_some_and(|name| name == "mod.rs") {
        found.push(format!(
            "{name}: expected a file named like its module, beside the module's folder"
        ));
    }
    match file.text.parse::<TokenStream>() {
        Ok(tokens) => read(tokens, &name, &mut found),
        Err(fault) => found.push(format!("{name}: not Rust: {fault}")),
    }
    found
}

fn read(tokens: TokenStream, name: &str, found: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if ident == "unsafe" && name != UNSAFE => {
                found.push(format!("{name}:{}: unsafe", ident.span().start().line));
            }
            TokenTree::Group(group) => {
                if group.delimiter() == Delimiter::Bracket && silences(&group.stream()) {
                    let line = group.span_open().start().line;
                    found.push(format!(
                        "{name}:{line}: `allow`, expected `expect` with a reason"
                    ));
                }
                read(group.stream(), name, found);
            }
            _ => {}
        }
    }
}

/// Whether what stands in brackets is the attribute `allow(…)`, on its own or below `cfg_attr`.
fn silences(attribute: &TokenStream) -> bool {
    let tokens: Vec<TokenTree> = attribute.clone().into_iter().collect();
    let is_allow = |pair: &[TokenTree]| matches!(pair, [TokenTree::Ident(word), TokenTree::Group(_)] if word == "allow");
    match tokens.as_slice() {
        [TokenTree::Ident(word), TokenTree::Group(inner)] if word == "cfg_attr" => {
            let inner: Vec<TokenTree> = inner.stream().into_iter().collect();
            inner.windows(2).any(is_allow)
        }
        tokens => is_allow(tokens),
    }
}

#[test]
fn every_rust_file_is_tidy() {
    let mut rust = files::all();
    rust.retain(File::is_rust);
    let found: Vec<String> = rust.iter().flat_map(complaints).collect();
    assert_tidy(&found);
}

#[test]
fn each_rule_can_be_broken() {
    let long = format!("//! Long.\n{}", "\n".repeat(LONGEST));
    let bad = [
        ("src/a.rs", ""),
        ("src/a.rs", "use std::fmt;\n//! Late.\n"),
        ("src/a.rs", "// No head.\n"),
        ("src/a.rs", &long),
        ("src/a/mod.rs", "//! A.\n"),
        ("tests/it/a/mod.rs", "//! A.\n"),
        ("src/a.rs", "//! A.\nfn f() { unsafe { g() } }"),
        ("src/a.rs", "//! A.\nm! { unsafe fn f(); }"),
        ("src/a.rs", "//! A.\n#[allow(dead_code)]\nfn f() {}"),
        ("src/a.rs", "//! A.\n#![allow(dead_code)]\n"),
        (
            "src/a.rs",
            "//! A.\n#[cfg_attr(test, allow(dead_code))]\nfn f() {}",
        ),
        ("src/a.rs", "//! A.\nfn f() { #[allow(unused)] let x = 1; }"),
        ("src/a.rs", "//! A.\nfn ("),
    ];
    for (path, text) in bad {
        let found = complaints(&File::new(path, text));
        assert_eq!(found.len(), 1, "{path}: {text}: {found:?}");
    }
}

#[test]
fn a_tidy_file_is_let_be() {
    let text = "\n//! unsafe, #[allow(x)].\n#[expect(dead_code, reason = \"x\")]\nfn f() { [allow]; s(\"unsafe\") }\n";
    assert_eq!(
        complaints(&File::new("src/a.rs", text)),
        Vec::<String>::new()
    );
    let longest = format!("//! Long.{}", "\n".repeat(LONGEST));
    assert_eq!(
        complaints(&File::new("src/a.rs", &longest)),
        Vec::<String>::new()
    );
}
