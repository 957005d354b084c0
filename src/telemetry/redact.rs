//! URLs in what exporters complain of: only scheme, host and port may be shown.

/// The text with every URL in it cut down to scheme, host and port; the rest of one may be a secret.
pub(super) fn without_url_secrets(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        let ends = |c: char| c.is_whitespace() || matches!(c, ')' | '"' | '\'' | '<' | '>' | ',');
        let (url, tail) = after.split_at(after.find(ends).unwrap_or(after.len()));
        shown.push_str(before);
        shown.push_str("://");
        shown.push_str(host_and_port(url));
        rest = tail;
    }
    shown.push_str(rest);
    shown
}

/// Host and port of a URL whose scheme was taken off.
pub(super) fn host_and_port(url: &str) -> &str {
    let authority = url.split(['/', '?', '#']).next().unwrap_or_default();
    // After the last `@`: a password may hold one.
    authority.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_url_only_scheme_host_and_port_are_kept() {
        let cases = [
            ("no url", "no url"),
            (
                "request for url (http://u:p@c:4318/x?key=1) failed: refused",
                "request for url (http://c:4318) failed: refused",
            ),
            ("https://a@b@c", "https://c"),
            ("\"http://c/x\", grpc://d/y z", "\"http://c\", grpc://d z"),
            ("://", "://"),
        ];
        for (text, expected) in cases {
            assert_eq!(without_url_secrets(text), expected);
        }
    }
}
