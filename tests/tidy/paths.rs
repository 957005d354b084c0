//! Which items of the crate a file names: every `crate::…`, `super::…`, `self::…` and, from the binary,
//! every path that starts with the library's name.
//!
//! Tokens are read, not lines, so comments and strings name nothing while macros and nested `use` groups do.

use std::path::Path;

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};

/// The library's name, as the binary writes it.
const LIBRARY: &str = "host_mcp_gateway";

/// A path that was named, from the root of the crate; `["*"]` is everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
}

/// The modules that a file stands for: `src/http/config.rs` is `["http", "config"]`, `src/lib.rs` is `[]`.
pub(crate) fn module_of(path: &Path) -> Vec<String> {
    let inside = path.strip_prefix("src").unwrap_or(path).with_extension("");
    let mut parts: Vec<String> = inside
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if parts == ["lib"] || parts == ["main"] {
        parts.clear();
    }
    parts
}

/// Every path of this crate that the tokens name, in order.
///
/// `Err` when the text is no Rust.
pub(crate) fn named(text: &str, module: &[String]) -> Result<Vec<Named>, String> {
    let tokens: TokenStream = text.parse().map_err(|fault| format!("not Rust: {fault}"))?;
    let mut found = Vec::new();
    read(tokens, module, &mut found);
    Ok(found)
}

fn read(tokens: TokenStream, module: &[String], found: &mut Vec<Named>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Group(group) => {
                let inner = inline_module(&tokens[..at], module, group.delimiter());
                read(group.stream(), &inner, found);
            }
            TokenTree::Ident(ident) if starts_path(&tokens, at) => {
                at = follow(&tokens, at, ident, module, found);
                continue;
            }
            _ => {}
        }
        at += 1;
    }
}

/// `mod name { … }` is a module below this one; any other group belongs to this one.
fn inline_module(before: &[TokenTree], module: &[String], delimiter: Delimiter) -> Vec<String> {
    let mut inner = module.to_vec();
    if let [.., TokenTree::Ident(keyword), TokenTree::Ident(name)] = before
        && keyword == "mod"
        && delimiter == Delimiter::Brace
    {
        inner.push(name.to_string());
    }
    inner
}

/// Whether an identifier at this place is the first of a path, and of a path of this crate.
fn starts_path(tokens: &[TokenTree], at: usize) -> bool {
    let TokenTree::Ident(ident) = &tokens[at] else {
        return false;
    };
    let known = ["crate", "super", "self", LIBRARY]
        .iter()
        .any(|start| ident == start);
    // `self.field`, `&self`, `pub(crate)` name nothing; `use crate as house` names everything.
    let goes_on = is_colons(tokens, at + 1) || is_ident(tokens, at + 1, "as");
    known && goes_on && (ident == "crate" || !goes_on_from_a_name(tokens, at))
}

/// Whether this is the `b` of `a::b`. In `use ::b` the word before the colons is no part of the path.
fn goes_on_from_a_name(tokens: &[TokenTree], at: usize) -> bool {
    let Some(colons) = at.checked_sub(2) else {
        return false;
    };
    let before = colons.checked_sub(1).map(|before| &tokens[before]);
    let is_name = matches!(before, Some(TokenTree::Ident(word)) if word != "use");
    is_colons(tokens, colons) && is_name
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    let is_colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    is_colon(at) && is_colon(at + 1)
}

fn is_ident(tokens: &[TokenTree], at: usize, word: &str) -> bool {
    matches!(tokens.get(at), Some(TokenTree::Ident(ident)) if ident == word)
}

/// Follows a path from its first word and gives where reading goes on.
fn follow(
    tokens: &[TokenTree],
    at: usize,
    first: &Ident,
    module: &[String],
    found: &mut Vec<Named>,
) -> usize {
    let mut base = if first == "super" || first == "self" {
        module.to_vec()
    } else {
        Vec::new()
    };
    if first == "super" {
        base.pop();
    }
    finish(tokens, at + 1, base, first.span().start().line, found)
}

/// Reads `::a::b`, `::{…}`, `::*` or ` as name` after a base, and gives where reading goes on.
fn finish(
    tokens: &[TokenTree],
    mut at: usize,
    mut base: Vec<String>,
    line: usize,
    found: &mut Vec<Named>,
) -> usize {
    while is_colons(tokens, at) {
        match tokens.get(at + 2) {
            Some(TokenTree::Ident(ident)) if ident == "super" => {
                base.pop();
            }
            Some(TokenTree::Ident(ident)) if ident == "self" => {}
            Some(TokenTree::Ident(ident)) => {
                base.push(ident.to_string().trim_start_matches("r#").to_owned());
            }
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                use_group(group.stream(), &base, found);
                return at + 3;
            }
            // `::*`, and the turbofish `::<`: what came before is what is named.
            _ => {
                at += 2;
                break;
            }
        }
        at += 3;
    }
    if base.is_empty() {
        base.push("*".to_owned());
    }
    found.push(Named { path: base, line });
    at
}

/// Reads the members of `use base::{…}`.
fn use_group(stream: TokenStream, base: &[String], found: &mut Vec<Named>) {
    let tokens: Vec<TokenTree> = stream.into_iter().collect();
    let is_comma =
        |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    for member in tokens.split(is_comma).filter(|member| !member.is_empty()) {
        let line = member[0].span().start().line;
        let mut path = base.to_vec();
        match &member[0] {
            TokenTree::Ident(ident) if ident == "self" => {}
            TokenTree::Ident(ident) => path.push(ident.to_string()),
            _ => {}
        }
        finish(member, 1, path, line, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str, module: &[&str]) -> Vec<String> {
        let module: Vec<String> = module.iter().map(|&part| part.to_owned()).collect();
        let found = named(text, &module).unwrap();
        found
            .into_iter()
            .map(|named| named.path.join("::"))
            .collect()
    }

    #[test]
    fn every_way_to_name_an_item_is_seen() {
        let cases: [(&str, &[&str]); 16] = [
            ("use crate::relay::Relay;", &["relay::Relay"]),
            (
                "use crate::{relay, http::config::Config as C};",
                &["relay", "http::config::Config"],
            ),
            (
                "use crate::{types::{self, ServerId}, fault::*};",
                &["types", "types::ServerId", "fault"],
            ),
            ("fn f() { crate::relay::go::<u8>(1) }", &["relay::go"]),
            (
                "fn f(a: &dyn crate::relay::R) -> Vec<crate::http::H> {}",
                &["relay::R", "http::H"],
            ),
            (
                "tokio::select! { x = crate::relay::next() => {} }",
                &["relay::next"],
            ),
            (
                "macro_rules! m { () => { $crate::http::x() } }",
                &["http::x"],
            ),
            ("pub(in crate::relay) fn f() {}", &["relay"]),
            ("use super::super::relay;", &["relay"]),
            ("use super::pipes::Writer;", &["supervisor::pipes::Writer"]),
            ("use self::inner::X;", &["supervisor::actor::inner::X"]),
            (
                "mod tests { use super::*; use super::super::pipes; }",
                &["supervisor::actor", "supervisor::pipes"],
            ),
            ("use crate as house;", &["*"]),
            ("use crate::*;", &["*"]),
            ("use ::host_mcp_gateway::cli;", &["cli"]),
            (
                "#[cfg(test)] mod tests { fn f() { crate::http::x() } }",
                &["http::x"],
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(paths(text, &["supervisor", "actor"]), expected, "{text}");
        }
    }

    #[test]
    fn what_names_nothing_is_not_seen() {
        let text = r#"
            //! crate::http::x
            /* crate::http */
            /// [`crate::http`]
            pub(crate) fn f(&self) -> &'static str { self.x(); "crate::http::x" }
            use std::http; use other::super_; use serde::self_;
        "#;
        assert_eq!(paths(text, &["types"]), Vec::<String>::new());
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let found = named("\n\nuse crate::{\n    a,\n    b,\n};", &[]).unwrap();
        let lines: Vec<usize> = found.iter().map(|named| named.line).collect();
        assert_eq!(lines, [4, 5]);
        assert!(named("fn (", &[]).is_err());
    }

    #[test]
    fn a_file_is_a_module() {
        let module = |path: &str| module_of(Path::new(path)).join("::");
        assert_eq!(module("src/http/config.rs"), "http::config");
        assert_eq!(module("src/http.rs"), "http");
        assert_eq!(module("src/lib.rs"), "");
    }
}
