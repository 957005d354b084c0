//! `mcpServers`: the object that MCP clients write, taken as it is pasted.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::reader::{Members, Node, Read, Scope};
use super::section::section;
use super::servers::Server;
use super::values::{LaunchText, Text};

/// Keys that only the client which wrote them understands. They are taken with a warning: pasting must
/// work, and what they ask for (approvals, a choice of tools, labels) happens in the client.
/// Written by Cline, Roo Code, Kiro, Gemini CLI, VS Code, Copilot CLI, Zed, Windsurf and Cherry Studio.
const CLIENT_KEYS: [&str; 25] = [
    "alwaysAllow",
    "autoApprove",
    "description",
    "dev",
    "disabledTools",
    "enabledTools",
    "excludeTools",
    "gallery",
    "icon",
    "includeTools",
    "installSource",
    "logoUrl",
    "longRunning",
    "name",
    "networkTimeout",
    "note",
    "provider",
    "registryUrl",
    "source",
    "tags",
    "timeout",
    "tools",
    "transportType",
    "trust",
    "version",
];

/// Keys that cannot be passed over without changing what is run, and what to do instead.
const REFUSED_KEYS: [(&str, &str); 2] = [
    (
        "envFile",
        "is not read here, put the variables into \"env\"",
    ),
    (
        "server_id",
        "is not wanted here: the name of the entry is the id",
    ),
];

/// Keys that say that a server is not run by a command.
const REMOTE_KEYS: [&str; 3] = ["url", "serverUrl", "httpUrl"];

/// Values of `type` that say the same.
const REMOTE_TYPES: [&str; 8] = [
    "http",
    "sse",
    "streamable-http",
    "streamable_http",
    "streamableHttp",
    "streamablehttp",
    "ws",
    "websocket",
];

section! {
    /// What clients may write besides the keys of a server.
    ClientOwn {
        /// `stdio`; what is reached by URL is skipped.
        kind as "type": Text,
        /// The same as `working_dir`.
        cwd: LaunchText,
        /// `false` is the same as `disabled`.
        enabled: bool,
        /// `false` is the same as `disabled`.
        is_active as "isActive": bool,
    }
}

/// One entry of `mcpServers`: a server without `server_id`, with what clients write besides.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are of the large one")]
pub(super) enum McpServer {
    /// One that is run by a command.
    Stdio {
        /// `cwd` was taken over as `working_dir`.
        server: Server,
        /// Switched off by a key that clients use for it.
        off: bool,
    },
    /// One that is reached by URL, which is skipped.
    Remote,
}

impl Read for McpServer {
    fn read(node: &Node<'_>, scope: &mut Scope<'_>) -> Option<Self> {
        if let Some(sign) = remote_sign(node) {
            let text = format!(
                "is skipped: it is a remote server ({sign}), and the gateway serves what it runs by a \"command\""
            );
            scope.warn(&node.place, text);
            return Some(Self::Remote);
        }
        let keys: Vec<&str> = Server::KEYS
            .iter()
            .chain(ClientOwn::KEYS)
            .chain(&CLIENT_KEYS)
            .copied()
            .chain(REFUSED_KEYS.map(|(key, _)| key))
            .collect();
        let members = Members::of(node, &keys, scope)?;
        for key in CLIENT_KEYS {
            let Some(place) = members.place_of(key, scope) else {
                continue;
            };
            let text = match key {
                "timeout" => "is a client's key and has no effect here, see \"request_timeout_ms\"",
                _ => "is a client's key and has no effect here",
            };
            scope.warn(&place, text);
        }
        for (key, reason) in REFUSED_KEYS {
            if let Some(place) = members.place_of(key, scope) {
                scope.fault::<()>(&place, reason);
            }
        }
        let mut server = Server::take(&members, scope);
        let own = ClientOwn::take(&members, scope);
        if let Some(kind) = own.kind.get()
            && !matches!(kind.value.as_str(), "stdio" | "local")
        {
            let text = format!("unknown value {}, expected stdio", kind.shown());
            scope.fault::<()>(&kind.place, text);
        }
        if own.cwd.is_given() && server.working_dir.is_given() {
            let text = "means the same as \"working_dir\", give one of them";
            scope.fault::<()>(&own.cwd.place, text);
        } else if own.cwd.is_given() {
            server.working_dir = own.cwd;
        }
        let off = own.enabled.get() == Some(&false) || own.is_active.get() == Some(&false);
        Some(Self::Stdio { server, off })
    }
}

/// What in an entry says that its server is not run by a command.
fn remote_sign(node: &Node<'_>) -> Option<String> {
    let object = node.value.as_object()?;
    let key = REMOTE_KEYS
        .into_iter()
        .find(|key| object.get(key).is_some());
    let kind = || {
        object
            .get_string("type")
            .or(object.get_string("transportType"))
    };
    let kind = || kind().filter(|kind| REMOTE_TYPES.contains(&&*kind.value));
    key.map(|key| format!("{key:?}"))
        .or_else(|| kind().map(|kind| format!("\"type\": {:?}", kind.value)))
}

/// The schema of a server, without its id and with the keys of clients.
impl JsonSchema for McpServer {
    fn schema_name() -> Cow<'static, str> {
        "McpServer".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Server::json_schema(generator);
        let own = ClientOwn::json_schema(generator);
        if let Some(properties) = schema.get_mut("properties").and_then(|p| p.as_object_mut()) {
            properties.shift_remove("server_id");
            let own = own.get("properties").and_then(|p| p.as_object());
            properties.extend(own.cloned().unwrap_or_default());
        }
        schema.insert(
            "description".to_owned(),
            "One MCP server, as MCP clients write it.".into(),
        );
        schema.insert("required".to_owned(), ["command"].as_slice().into());
        let client_keys = format!("^({})$", CLIENT_KEYS.join("|"));
        schema.insert(
            "patternProperties".to_owned(),
            serde_json::json!({ client_keys: { "description": "A client's key; it has no effect here." } }),
        );
        schema
    }
}
