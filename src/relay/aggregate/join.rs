//! What all servers say of themselves, as the gateway says it.

use std::borrow::Cow;

use super::Kind;
use super::identity;
use crate::protocol::era::NEWEST_LEGACY;
use crate::protocol::members::Object;
use crate::protocol::message::string;
use crate::protocol::{Era, Span};
use crate::supervisor::Handshake;
use crate::types::ServerId;

/// The capabilities that stand for lists, which change when a server comes or goes.
const LISTS: [&str; 3] = ["tools", "prompts", "resources"];
/// The others that can be had through the endpoint of all. What is in neither, extensions too, needs
/// methods that do not say whom they are for.
const OTHERS: [&str; 2] = ["completions", "logging"];

/// The most of one server's instructions that is shown, in bytes.
const MAX_INSTRUCTIONS: usize = 16 * 1024;
/// After so many bytes no further instructions are shown.
const MAX_ALL_INSTRUCTIONS: usize = 128 * 1024;

/// Whether a server has such a list at all. A server that says nothing legible has none.
pub(super) fn has(kind: Kind, handshake: &Handshake) -> bool {
    capability(handshake, kind.capability()).is_some()
}

/// One capability of a server, as it stands.
fn capability<'h>(handshake: &'h Handshake, key: &str) -> Option<&'h [u8]> {
    member(handshake.capabilities.as_bytes(), key).filter(|value| *value != b"null")
}

fn can_subscribe(handshake: &Handshake) -> bool {
    let resources = capability(handshake, "resources");
    resources.and_then(|resources| member(resources, "subscribe")) == Some(b"true")
}

fn member<'t>(object: &'t [u8], key: &str) -> Option<&'t [u8]> {
    let whole = Span::whole(object);
    let [value] = Object::read(object, whole, [key])?.values;
    Some(value?.of(object))
}

/// The handshake that the gateway answers with for all servers, each with what it said if it has said
/// something yet.
///
/// A server that has not may turn out to have any list, and every list is another when a server comes or
/// goes: so all of them can change.
pub(super) fn join(servers: &[(&ServerId, Option<&Handshake>)]) -> Handshake {
    let any =
        |can: &dyn Fn(&Handshake) -> bool| servers.iter().filter_map(|(_, known)| *known).any(can);
    let all_known = servers.iter().all(|(_, known)| known.is_some());
    let mut capabilities = serde_json::Map::new();
    for key in LISTS {
        if !all_known || any(&|server| capability(server, key).is_some()) {
            capabilities.insert(key.to_owned(), serde_json::json!({"listChanged": true}));
        }
    }
    if let Some(resources) = capabilities.get_mut("resources")
        && any(&can_subscribe)
    {
        resources["subscribe"] = true.into();
    }
    for key in OTHERS {
        if any(&|server| capability(server, key).is_some()) {
            capabilities.insert(key.to_owned(), serde_json::json!({}));
        }
    }
    let instructions = joined_instructions(servers);
    let instructions = instructions.map(|text| serde_json::Value::from(text).to_string());
    Handshake {
        era: Era::Legacy,
        revision: NEWEST_LEGACY.to_owned(),
        capabilities: serde_json::Value::from(capabilities).to_string().into(),
        server_info: identity().into(),
        instructions: instructions.map(Into::into),
    }
}

/// The instructions of all servers, each as a quotation under its server's id: so none can end its own part and
/// begin another's.
fn joined_instructions(servers: &[(&ServerId, Option<&Handshake>)]) -> Option<String> {
    let mut joined = String::new();
    for (server, known) in servers {
        let Some(text) = known.and_then(instructions) else {
            continue;
        };
        let left = MAX_ALL_INSTRUCTIONS.saturating_sub(joined.len());
        if left == 0 {
            tracing::debug!(server_id = %server, "the server's instructions are left out: those of others fill the bound");
            break;
        }
        if !joined.is_empty() {
            joined.push_str("\n\n");
        }
        joined.extend(["## ", server.as_str(), "\n"]);
        let bounded = text.trim_end();
        let bounded = start(bounded, MAX_INSTRUCTIONS.min(left));
        for line in bounded.split(is_line_end) {
            joined.extend(["\n> ", line]);
        }
        if bounded.len() < text.trim_end().len() {
            joined.push_str("\n> …");
        }
    }
    (!joined.is_empty()).then_some(joined)
}

/// The beginning of a text, of so many bytes at most.
fn start(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// Whatever some reader may take for the end of a line.
fn is_line_end(character: char) -> bool {
    matches!(
        character,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// What a server tells its users, unless that is nothing.
fn instructions(handshake: &Handshake) -> Option<Cow<'_, str>> {
    let text = string(handshake.instructions.as_ref()?.as_bytes())?;
    (!text.trim().is_empty()).then_some(text)
}
