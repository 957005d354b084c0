//! Servers that echo their input.
//!
//! A command that is not a server, such as `cat` or a shell script, often writes back what it reads. Quoted in an error, a
//! request of the gateway's own would look like something that the server has said. A line that has such a request among
//! other words is the server's: a logger may tell there why the server ends.

use std::borrow::Cow;

/// The description of a line that is an echo, as it stands in the place of the line.
pub(super) const ECHO: &str = "(what the gateway has sent it: it echoes its input)";

/// Whether only clients send requests of this method, so that a server that sends one echoes its input.
pub(super) fn is_of_clients(method: &str) -> bool {
    matches!(method, "initialize" | "server/discover")
}

/// Whether a line that a server wrote is a message of the gateway's handshake and nothing else. A terminal that echoes
/// adds control characters.
pub(super) fn is_echo(line: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        method: Cow<'a, str>,
    }
    let line = line.trim_matches(|c: char| c.is_whitespace() || c.is_control());
    serde_json::from_str::<Message<'_>>(line).is_ok_and(|message| {
        is_of_clients(&message.method) || message.method == "notifications/initialized"
    })
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
        for line in [request, &format!(" {request}\r")] {
            assert_eq!(quotable(line), ECHO, "{line}");
        }
        let after = format!("{request} is refused: no licence");
        let logged = format!(r#"{{"level":"error","text":"no licence","on":{request}}}"#);
        let words = ["no licence", "method initialize is not known", "", "3"];
        for line in words.into_iter().chain([&*after, &logged]) {
            assert_eq!(quotable(line), line);
        }
    }
}
