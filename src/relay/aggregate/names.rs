//! What the things of several servers are called where they stand side by side.
//!
//! A tool or a prompt is `server_id__name`, a resource `mcp://server_id/uri`, the name and the URI as the
//! server wrote them. A server id has neither a `__`, nor a `/`, nor a character that JSON or a URI would
//! escape; so what is put before a JSON string needs no knowledge of the string, a URI template keeps its
//! braces, and the way back is taken from the text alone: nothing is remembered.
//!
//! Names are never shortened: the specification's 128 characters are a SHOULD (MCP 2026-07-28,
//! server/tools, Tool Names), and a shortened name would not tell what it stands for.

use crate::fault::{Delivered, Fault, FaultKind};
use crate::protocol::Span;
use crate::protocol::message::string;
use crate::types::ServerId;

/// Stands between the server and the name.
const BETWEEN: &str = "__";
/// The scheme of every URI.
const SCHEME: &str = "mcp://";
/// How much of a client's text, and of the servers it could have meant, is told back, in characters.
const MAX_SHOWN: usize = 200;

/// The two ways in which things are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `server_id__name`
    Name,
    /// `mcp://server_id/uri`, also of templates.
    Uri,
}

impl Form {
    /// What stands before the server's own text.
    pub(super) fn prefix(self, server: &ServerId) -> String {
        match self {
            Self::Name => format!("{server}{BETWEEN}"),
            Self::Uri => format!("{SCHEME}{server}/"),
        }
    }

    /// How it reads, for a sentence.
    fn shape(self) -> &'static str {
        match self {
            Self::Name => "server_id__name",
            Self::Uri => "mcp://server_id/uri",
        }
    }
}

/// The servers that a principal may reach, in the order of the config file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach<'a>(pub(super) &'a [&'a ServerId]);

/// A name or a URI of which the server is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Own<'a> {
    /// Whose it is.
    pub(super) server: &'a ServerId,
    /// What the server calls it, as a JSON string.
    pub(super) json: Vec<u8>,
}

impl<'a> Reach<'a> {
    /// The server with this id.
    pub(super) fn get(self, id: &str) -> Option<&'a ServerId> {
        self.0.iter().copied().find(|server| server.as_str() == id)
    }

    /// Whose the JSON string is that a client calls a thing by, and what the server calls it.
    ///
    /// `what` names the member for a fault: `params.name`.
    pub(super) fn own(self, form: Form, what: &str, json: &[u8]) -> Result<Own<'a>, Fault> {
        let Some(text) = string(json) else {
            return Err(self.unknown(form, what, None));
        };
        let found = match form {
            Form::Name => self.by_name(&text),
            Form::Uri => self.by_uri(&text),
        };
        // A server has nothing that is called by nothing.
        let found = found.filter(|(_, own)| !own.is_empty());
        let (server, own) = found.ok_or_else(|| self.unknown(form, what, Some(&text)))?;
        Ok(Own {
            server,
            json: ending(json, own),
        })
    }

    /// The server that a name begins with, and the rest of the name.
    fn by_name<'t>(self, name: &'t str) -> Option<(&'a ServerId, &'t str)> {
        // No id holds two underscores or ends with one, so the first two are what separates.
        let (id, own) = name.split_once(BETWEEN)?;
        Some((self.get(id)?, own))
    }

    /// The server that a URI names, and the URI that the server gave.
    fn by_uri<'t>(self, uri: &'t str) -> Option<(&'a ServerId, &'t str)> {
        // Libraries write the scheme and the host of a URI in lower case (RFC 3986, 6.2.2.1).
        let (scheme, rest) = uri.split_at_checked(SCHEME.len())?;
        let (host, own) = rest.split_once('/')?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return None;
        }
        let exact = self.get(host);
        Some((exact.or_else(|| self.in_any_case(host))?, own))
    }

    /// The one server with this id in any case.
    fn in_any_case(self, id: &str) -> Option<&'a ServerId> {
        let same = |server: &&&ServerId| server.as_str().eq_ignore_ascii_case(id);
        let mut same = self.0.iter().filter(same);
        same.next().filter(|_| same.next().is_none()).copied()
    }

    fn unknown(self, form: Form, what: &str, found: Option<&str>) -> Fault {
        let mut servers = String::new();
        for server in self.0 {
            let id = server.as_str();
            if servers.len() + id.len() > MAX_SHOWN {
                servers.push_str(", …");
                break;
            }
            let comma = if servers.is_empty() { "" } else { ", " };
            servers.extend([comma, id]);
        }
        let found = found.map_or("missing or no string".to_owned(), |text| {
            format!("{:?}", text.chars().take(MAX_SHOWN).collect::<String>())
        });
        if servers.is_empty() {
            servers.push_str("no server");
        }
        let shape = form.shape();
        invalid(format!(
            "{what} is {found}, expected {shape}; this token reaches {servers}"
        ))
    }
}

/// A fault of the params, of which nothing was delivered.
pub(super) fn invalid(text: String) -> Fault {
    Fault::new(FaultKind::InvalidParams, text).delivered(Delivered::No)
}

/// Where a prefix is put into the JSON string that stands at this span.
pub(super) fn slot(string: Span) -> Span {
    Span::empty_at(string.start + 1)
}

/// The JSON string with this ending of its text only.
fn ending(json: &[u8], own: &str) -> Vec<u8> {
    let as_it_stands = json.get(json.len().saturating_sub(own.len() + 1)..);
    match as_it_stands.filter(|_| !json.contains(&b'\\')) {
        Some(end) => [b"\"", end].concat(),
        None => serde_json::Value::from(own).to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ids(texts: &[&str]) -> Vec<ServerId> {
        texts.iter().map(|id| id.parse().unwrap()).collect()
    }

    /// Server and own text of a JSON string, or the fault's text.
    fn own(servers: &[&str], form: Form, json: &str) -> Result<(String, String), String> {
        let servers = ids(servers);
        let servers: Vec<_> = servers.iter().collect();
        let own = Reach(&servers).own(form, "params.name", json.as_bytes());
        own.map(|own| {
            let text = serde_json::from_slice(&own.json).unwrap();
            (own.server.to_string(), text)
        })
        .map_err(|fault| fault.message.into_owned())
    }

    fn found(server: &str, text: &str) -> (String, String) {
        (server.to_owned(), text.to_owned())
    }

    #[test]
    fn a_name_is_split_at_the_first_two_underscores() {
        let servers = ["a", "b.c"];
        for (name, server, own_name) in [
            ("a__x", "a", "x"),
            ("a__x__y", "a", "x__y"),
            ("b.c____x", "b.c", "__x"),
            ("a___x", "a", "_x"),
        ] {
            let json = serde_json::json!(name).to_string();
            assert_eq!(
                own(&servers, Form::Name, &json),
                Ok(found(server, own_name))
            );
        }
    }

    #[test]
    fn a_uri_is_found_whatever_became_of_the_case_of_its_host() {
        let servers = ["Files", "mail", "A", "a"];
        for (uri, server, own_uri) in [
            (
                "mcp://Files/file:///etc//x?y#z",
                "Files",
                "file:///etc//x?y#z",
            ),
            ("MCP://files/test://a/{id}", "Files", "test://a/{id}"),
            ("mcp://a/x", "a", "x"),
            ("mcp://A/x", "A", "x"),
        ] {
            let json = serde_json::json!(uri).to_string();
            assert_eq!(own(&servers, Form::Uri, &json), Ok(found(server, own_uri)));
        }
        let two = own(&["Ab", "aB"], Form::Uri, "\"mcp://ab/x\"");
        assert!(two.is_err(), "either could be meant: {two:?}");
    }

    /// RF07: a name or URI that ends with the server's is nobody's.
    #[test]
    fn an_empty_name_is_refused() {
        assert!(own(&["a"], Form::Name, "\"a__\"").is_err());
        assert!(own(&["a"], Form::Uri, "\"mcp://a/\"").is_err());
    }

    #[test]
    fn a_text_of_no_known_server_is_refused_with_what_was_expected() {
        let refused = own(&["a", "b"], Form::Name, "\"c__x\"");
        assert_eq!(
            refused.unwrap_err(),
            r#"params.name is "c__x", expected server_id__name; this token reaches a, b"#
        );
        let refused = own(&[], Form::Uri, "7");
        assert_eq!(
            refused.unwrap_err(),
            "params.name is missing or no string, expected mcp://server_id/uri; this token reaches no server"
        );
        for (form, json) in [
            (Form::Name, "\"x\""),
            (Form::Name, "\"A__x\""),
            (Form::Uri, "\"file:///x\""),
            (Form::Uri, "\"mcp://a\""),
            (Form::Uri, "\"mcp:/é/a/x\""),
        ] {
            assert!(own(&["a"], form, json).is_err(), "{json}");
        }
    }

    #[test]
    fn a_sentence_stays_short_whatever_is_sent_and_however_many_servers_there_are() {
        let many: Vec<String> = (0..100).map(|number| format!("server-{number}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let text = own(&many, Form::Name, &format!("\"{}\"", "x".repeat(9000))).unwrap_err();
        assert!(text.len() < 600 && text.ends_with(", …"), "{text}");
    }

    proptest! {
        #[test]
        fn what_was_prefixed_is_found_again(
            text in any::<String>(),
            uri in any::<bool>(),
            escape in any::<bool>(),
        ) {
            let server = "host-1.A_b";
            let form = if uri { Form::Uri } else { Form::Name };
            let mut json = serde_json::json!(text).to_string();
            if escape || text.is_empty() {
                json.insert_str(1, "\\u0041");
            }
            let expected: String = serde_json::from_str(&json).unwrap();
            let prefix = form.prefix(&server.parse().unwrap());
            json.insert_str(1, &prefix);
            prop_assert_eq!(own(&["x", server], form, &json), Ok(found(server, &expected)));
        }

        #[test]
        fn no_text_makes_it_panic(text in any::<String>(), uri in any::<bool>()) {
            let form = if uri { Form::Uri } else { Form::Name };
            let _ = own(&["a", "b"], form, &serde_json::json!(text).to_string());
            let _ = own(&["a", "b"], form, &text);
        }
    }
}
