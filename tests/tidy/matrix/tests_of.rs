//! The test functions of a Rust file, and the rows that the doc comment of each one names.
//!
//! Tokens are read, not lines, so that a test inside a macro such as `proptest!` counts and a string does not.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A test function.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Test {
    pub(super) name: String,
    pub(super) rows: Vec<String>,
}

/// Whether this names a row: `F07`, `H012`, `RA01`.
pub(super) fn is_row(word: &str) -> bool {
    let digits = match word.as_bytes() {
        [b'R', b'A'..=b'G', digits @ ..] | [b'F', digits @ ..] if digits.len() == 2 => digits,
        [b'H', digits @ ..] if digits.len() == 3 => digits,
        _ => return false,
    };
    digits.iter().all(u8::is_ascii_digit)
}

/// Every test function of a file, in order.
///
/// `Err` when the text is no Rust.
pub(super) fn tests_of(text: &str) -> Result<Vec<Test>, String> {
    let tokens: TokenStream = text.parse().map_err(|fault| format!("not Rust: {fault}"))?;
    let mut found = Vec::new();
    read(tokens, &mut found);
    Ok(found)
}

fn read(tokens: TokenStream, found: &mut Vec<Test>) {
    let mut attributes: Vec<TokenStream> = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                if let Some(TokenTree::Group(group)) = tokens.peek()
                    && group.delimiter() == Delimiter::Bracket
                {
                    attributes.push(group.stream());
                    tokens.next();
                }
            }
            TokenTree::Ident(word) if word == "async" => {}
            TokenTree::Ident(word) if word == "fn" => {
                if let Some(TokenTree::Ident(name)) = tokens.peek()
                    && attributes.iter().any(is_test)
                {
                    found.push(Test {
                        name: name.to_string(),
                        rows: attributes.iter().flat_map(rows_in).collect(),
                    });
                }
                attributes.clear();
            }
            TokenTree::Group(group) => {
                attributes.clear();
                read(group.stream(), found);
            }
            _ => attributes.clear(),
        }
    }
}

/// Whether an attribute makes a test: `test` or `tokio::test(…)`.
fn is_test(attribute: &TokenStream) -> bool {
    let path = attribute.clone().into_iter();
    let path: Vec<TokenTree> = path
        .take_while(|token| !matches!(token, TokenTree::Group(_)))
        .collect();
    matches!(path.last(), Some(TokenTree::Ident(word)) if word == "test")
}

/// The rows that a doc comment names, which reads as `doc = "text"`.
fn rows_in(attribute: &TokenStream) -> Vec<String> {
    let parts: Vec<TokenTree> = attribute.clone().into_iter().collect();
    match parts.as_slice() {
        [TokenTree::Ident(word), _, TokenTree::Literal(text)] if word == "doc" => {
            let text = text.to_string();
            let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
            words
                .filter(|word| is_row(word))
                .map(str::to_owned)
                .collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &str) -> Vec<(String, Vec<String>)> {
        let tests = tests_of(text).unwrap().into_iter();
        tests.map(|test| (test.name, test.rows)).collect()
    }

    #[test]
    fn plain_async_and_generated_tests_are_found_with_their_rows() {
        let text = r#"
            /// F01, and H012 too.
            ///
            /// F02: another line.
            #[tokio::test(flavor = "multi_thread")]
            #[expect(clippy::panic, reason = "F09")]
            async fn first() {}
            mod inner {
                proptest! {
                    /// H001.
                    #[test]
                    fn second(x in 0..3) {}
                }
            }
        "#;
        let expected = [
            ("first", vec!["F01", "H012", "F02"]),
            ("second", vec!["H001"]),
        ];
        let expected = expected.map(|(name, rows)| {
            let rows = rows.into_iter().map(str::to_owned).collect();
            (name.to_owned(), rows)
        });
        assert_eq!(named(text), expected);
    }

    #[test]
    fn what_is_no_test_proves_nothing() {
        let text = "/// F01.\nfn helper() {}\n/// F02.\nstruct S;\n#[test]\nfn bare() { \"F03\"; }";
        assert_eq!(named(text), [("bare".to_owned(), Vec::new())]);
    }
}
