//! Whether a token can be guessed.

/// What is to be thought of a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Strength {
    Good,
    /// Taken, with a warning.
    Short,
    /// Why it is not taken; shows nothing of it.
    Refused(&'static str),
}

/// Words, without case and punctuation, that stand in examples instead of a token. A gateway has been
/// shipped with such a one as its default (GHSA-g53w-w6mj-hrpp).
const PLACEHOLDERS: [&str; 14] = [
    "changeme",
    "changethis",
    "replaceme",
    "replacewith",
    "replacethis",
    "placeholder",
    "secretapikey",
    "yourtoken",
    "yoursecret",
    "yourauthtoken",
    "yourapikey",
    "yoursecure",
    "tokenhere",
    "insertyour",
];

const LEAST: usize = 16;
const GOOD: usize = 32;
const LEAST_DIFFERENT: usize = 6;

/// Judges a token by its length, by its characters and by what stands in examples.
pub(super) fn strength(token: &str) -> Strength {
    let mut word = token.to_ascii_lowercase();
    word.retain(|c| c.is_ascii_alphanumeric());
    let bracketed = token.starts_with('<') && token.ends_with('>');
    let mut different: Vec<char> = token.chars().collect();
    different.sort_unstable();
    different.dedup();
    if token.is_empty() {
        Strength::Refused("is empty")
    } else if bracketed || PLACEHOLDERS.iter().any(|known| word.contains(known)) {
        Strength::Refused("is a placeholder, put a random token in its place")
    } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        Strength::Refused(
            "has a character that cannot stand in a header, expected ASCII without spaces",
        )
    } else if token.len() < LEAST {
        Strength::Refused(
            "is shorter than 16 characters and can be guessed, better 256 random bits",
        )
    } else if different.len() < LEAST_DIFFERENT {
        Strength::Refused("repeats a few characters and can be guessed, better 256 random bits")
    } else if token.len() < GOOD {
        Strength::Short
    } else {
        Strength::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H046, of what a token may be.
    #[test]
    fn what_can_be_guessed_is_refused() {
        for token in [
            "",
            "changeme",
            "CHANGE-ME",
            "secret-api-key",
            "your-token-here",
            "<token>",
            "<paste the token of the gateway here>",
            "please_replace_me_with_a_long_one",
            "short-one",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "with a space in it 0123456789",
            "naïve-0123456789abcdef",
            "line\nbreak-0123456789abcdef",
        ] {
            assert!(matches!(strength(token), Strength::Refused(_)), "{token}");
        }
        assert_eq!(strength("0123456789abcdef"), Strength::Short);
        assert_eq!(strength("0123456789abcdef0123456789abcdef"), Strength::Good);
    }
}
