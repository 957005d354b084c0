//! Servers that echo their input.
//!
//! A command that is not a server, such as `cat` or a shell script, often writes back what it reads, and a server may log
//! it. Quoted in an error, a request of the gateway's own would look like something that the server has said.

use std::borrow::Cow;

/// Parts of messages that only a gateway or a client writes.
const OWN_PARTS: [&str; 4] = [
    "\"method\":\"initialize\"",
    "\"method\":\"notifications/initialized\"",
    "\"method\":\"server/discover\"",
    "\"clientInfo\":{\"name\":\"host-mcp-gateway\"",
];

/// The description of a line that is an echo, as it stands in the place of the line.
pub(super) const ECHO: &str = "(what the gateway has sent it: it echoes its input)";

/// Whether only clients send requests of this method, so that a server that sends one echoes its input.
pub(super) fn is_of_clients(method: &str) -> bool {
    matches!(method, "initialize" | "server/discover")
}

/// Whether a line that a server wrote repeats a message of the gateway's handshake.
pub(super) fn is_echo(line: &str) -> bool {
    // A logger may write the quotes of a text as escapes.
    let plain = if line.contains("\\\"") {
        Cow::Owned(line.replace("\\\"", "\""))
    } else {
        Cow::Borrowed(line)
    };
    OWN_PARTS.iter().any(|part| plain.contains(part))
}

/// The line as it is quoted to people as the words of a server.
pub fn quotable(line: &str) -> &str {
    if is_echo(line) { ECHO } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_handshake_are_not_the_words_of_a_server() {
        let request = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
        let escaped = r#"received "{\"jsonrpc\":\"2.0\",\"method\":\"server/discover\"}""#;
        for line in [request, &format!("got {request}"), escaped] {
            assert_eq!(quotable(line), ECHO, "{line}");
        }
        for line in ["no licence", "method initialize is not known", ""] {
            assert_eq!(quotable(line), line);
        }
    }
}
