//! Hints for operators: what a server that fails may lack.
//!
//! A server gets few variables of the gateway's environment. One that needs another says so on stderr, in words of its
//! own, and seldom which setting of the gateway would help.

/// Lines of stderr that are searched, the newest ones.
pub(super) const LINES: usize = 20;

/// Texts by which common programs say that they do not trust a certificate.
const CERTIFICATE: [&str; 8] = [
    "CERTIFICATE_VERIFY_FAILED",
    "certificate verify failed",
    "self-signed certificate",
    "self signed certificate",
    "SELF_SIGNED_CERT",
    "unable to get local issuer certificate",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "UnknownIssuer",
];

/// Texts by which common programs say that they do not reach the network.
const NETWORK: [&str; 8] = [
    "ECONNREFUSED",
    "ETIMEDOUT",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ENETUNREACH",
    "Could not resolve host",
    "Name or service not known",
    "Network is unreachable",
];

/// Names the variables that are set for the gateway, are not passed to the server, and that its stderr points at: by
/// their names, or because it does not trust a certificate or does not reach the network.
pub(super) fn of_withheld(withheld: &[String], stderr: &[String]) -> Option<String> {
    let says = |texts: &[&str]| {
        let mut lines = stderr.iter();
        lines.any(|line| texts.iter().any(|text| line.contains(text)))
    };
    let (certificate, network) = (says(&CERTIFICATE), says(&NETWORK));
    let is_likely = |name: &&String| {
        let upper = name.to_ascii_uppercase();
        let is_of_certificates = ["CERT", "CA_BUNDLE", "CAINFO"];
        (certificate && is_of_certificates.iter().any(|part| upper.contains(part)))
            || (network && upper.ends_with("_PROXY"))
            || is_distinctive(name) && stderr.iter().any(|line| has_word(line, name))
    };
    let likely: Vec<&str> = withheld
        .iter()
        .filter(is_likely)
        .map(String::as_str)
        .collect();
    match likely.as_slice() {
        [] => None,
        [name] => Some(format!(
            "the variable {name} is set for the gateway and not passed to the server: \"env\": {{\"{name}\": \"${{{name}}}\"}} in its entry passes it"
        )),
        names => Some(format!(
            "the variables {} are set for the gateway and not passed to the server: entries like \"NAME\": \"${{NAME}}\" in its \"env\" pass them",
            names.join(", ")
        )),
    }
}

/// A name that cannot be a word of a sentence.
fn is_distinctive(name: &str) -> bool {
    name.len() > 2 && name.contains(|c: char| c.is_ascii_uppercase())
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..);
        let after = after.and_then(|text| text.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_named_where_the_stderr_of_the_server_points_at_it() {
        let withheld = ["ACME_TOKEN", "AWS_CA_BUNDLE", "FTP_PROXY", "PWD", "_"].map(str::to_owned);
        let hint = |line: &str| of_withheld(&withheld, &[line.to_owned()]).unwrap_or_default();
        for (line, named) in [
            ("Error: ACME_TOKEN is not set", "the variable ACME_TOKEN is"),
            ("no ACME_TOKEN", "ACME_TOKEN"),
            ("ssl.SSLError: CERTIFICATE_VERIFY_FAILED", "AWS_CA_BUNDLE"),
            ("connect ECONNREFUSED 10.0.0.1:443", "FTP_PROXY"),
        ] {
            let hint = hint(line);
            assert!(hint.contains(named) && hint.contains("\"env\""), "{hint}");
        }
        for line in ["MY_ACME_TOKEN_2 is bad", "a _ b", "all is well"] {
            assert_eq!(hint(line), "", "{line}");
        }
    }
}
