//! Messages in: which era a request is of, and which method gets which answer.

use std::sync::{Arc, Mutex, Weak};

use serde_json::{Value, json};

use crate::call::{Call, Halt};
use crate::cancelled::Cancelled;
use crate::listen::{Change, Listens};
use crate::peer::{Peer, lock, severity};
use crate::state::Seal;
use crate::wire::{
    INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, METHOD_NOT_FOUND, Refusal,
    UNSUPPORTED_VERSION, Wire, complain,
};
use crate::{prompts, resources, tools};

/// The revisions with `initialize`.
pub(crate) const LEGACY_VERSIONS: [&str; 4] =
    ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
/// The revision without.
pub(crate) const MODERN_VERSION: &str = "2026-07-28";
/// Where a modern request says which revision it is of.
pub(crate) const CLAIM: &str = "io.modelcontextprotocol/protocolVersion";
/// Where a modern request says what its client can do.
pub(crate) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Where a modern request says which log messages it wants.
pub(crate) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// How long a modern client may keep a list, in milliseconds.
const LIST_TTL_MS: u64 = 60_000;

/// The eras that a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Era {
    Legacy,
    Modern,
    /// Each request is of the era that it claims; `server/discover` is modern.
    Dual,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) era: Era,
    pub(crate) seal: Seal,
    pub(crate) listens: Listens,
    pub(crate) cancelled: Cancelled,
    peers: Mutex<Vec<Weak<Peer>>>,
}

impl Server {
    pub(crate) fn new(era: Era, seal: Seal) -> Self {
        Self {
            era,
            seal,
            listens: Listens::default(),
            cancelled: Cancelled::default(),
            peers: Mutex::default(),
        }
    }

    /// A new connection.
    pub(crate) fn connect(&self, wire: Wire) -> Arc<Peer> {
        let peer = Arc::new(Peer::new(wire));
        let mut peers = lock(&self.peers);
        peers.retain(|known| known.strong_count() > 0);
        peers.push(Arc::downgrade(&peer));
        peer
    }

    /// Tells of a change: every legacy connection that has to know, and every listen request that asked for it.
    pub(crate) fn announce(&self, change: &Change) {
        let peers: Vec<_> = lock(&self.peers).iter().filter_map(Weak::upgrade).collect();
        for peer in peers {
            let wants = peer.legacy().is_some_and(|legacy| match change {
                Change::Resource(uri) => legacy.subscriptions.contains(uri),
                Change::Tools | Change::Prompts => true,
            });
            if wants {
                peer.wire.notify(change.method(), &change.params());
            }
        }
        self.listens.announce(change);
    }
}

/// Handles one message. Answers go to `wire`, which belongs to the request; a call runs on a thread of its own.
pub(crate) fn handle(server: &Arc<Server>, peer: &Arc<Peer>, wire: &Wire, message: Value) {
    let method = message.get("method").and_then(Value::as_str);
    let params = message.get("params").cloned().unwrap_or_default();
    match (message.get("id"), method) {
        (Some(id), Some(method)) => request(server, peer, wire, id, method, params),
        (Some(_), None) => {
            if !peer.answered(message) {
                complain("an answer to nothing that was asked");
            }
        }
        (None, Some("notifications/cancelled")) => {
            if let Some(id) = params.get("requestId") {
                peer.cancel(id);
                server.listens.close(id, wire);
            }
        }
        (None, Some(_)) => {}
        (None, None) => complain("a message without id and method"),
    }
}

fn request(
    server: &Arc<Server>,
    peer: &Arc<Peer>,
    wire: &Wire,
    id: &Value,
    method: &str,
    params: Value,
) {
    let claim = params.get("_meta").and_then(|meta| meta.get(CLAIM));
    let modern = match server.era {
        Era::Legacy => false,
        Era::Modern => true,
        Era::Dual => claim.is_some() || method == "server/discover",
    };
    let admitted = if modern {
        admit_modern(method, &params)
    } else {
        admit_legacy(peer, method)
    };
    if let Err(refusal) = admitted {
        return wire.refuse(id, &refusal);
    }
    if matches!(method, "tools/call" | "prompts/get") {
        return start_call(server, peer, wire, (id.clone(), modern), method, params);
    }
    let answer = if modern {
        modern_method(server, wire, id, method, &params)
    } else {
        legacy_method(peer, method, &params).map(Some)
    };
    match answer {
        Ok(Some(result)) => wire.reply(id, &result),
        Ok(None) => {}
        Err(refusal) => wire.refuse(id, &refusal),
    }
}

/// A modern request stands alone: it says which revision it is of and what its client can do.
pub(crate) fn admit_modern(method: &str, params: &Value) -> Result<(), Refusal> {
    let meta = params.get("_meta");
    let version = match meta.and_then(|meta| meta.get(CLAIM)) {
        Some(Value::String(version)) => version.as_str(),
        // A legacy client, which shows its user this answer.
        None if method == "initialize" => {
            let asked = params.get("protocolVersion").and_then(Value::as_str);
            asked.unwrap_or_default()
        }
        _ => return Err(Refusal::new(INVALID_PARAMS, format!("_meta lacks {CLAIM}"))),
    };
    if version != MODERN_VERSION {
        let data = json!({"supported": [MODERN_VERSION], "requested": version});
        return Err(Refusal::new(UNSUPPORTED_VERSION, "unsupported protocol version").with(data));
    }
    let capabilities = meta.and_then(|meta| meta.get(CLIENT_CAPABILITIES));
    if !capabilities.is_some_and(Value::is_object) {
        let text = format!("_meta lacks {CLIENT_CAPABILITIES}");
        return Err(Refusal::new(INVALID_PARAMS, text));
    }
    Ok(())
}

/// Before `initialize` there is only `ping` (MCP 2025-11-25, lifecycle); the modern probe is just unknown.
fn admit_legacy(peer: &Peer, method: &str) -> Result<(), Refusal> {
    let early = matches!(method, "initialize" | "ping" | "server/discover");
    if early || peer.legacy().is_some() {
        return Ok(());
    }
    let text = format!("{method} before initialize");
    Err(Refusal::new(INVALID_REQUEST, text))
}

/// Methods that both eras share.
fn common_method(method: &str, params: &Value, modern: bool) -> Result<Value, Refusal> {
    match method {
        "tools/list" => Ok(json!({"tools": tools::list()})),
        "prompts/list" => Ok(json!({"prompts": prompts::list()})),
        "resources/list" => Ok(json!({"resources": resources::list()})),
        "resources/templates/list" => Ok(json!({"resourceTemplates": resources::templates()})),
        "resources/read" => resources::read(params, modern),
        "completion/complete" => Ok(prompts::complete(params)),
        _ => {
            let text = format!("unknown method {method}");
            Err(Refusal::new(METHOD_NOT_FOUND, text))
        }
    }
}

fn legacy_method(peer: &Peer, method: &str, params: &Value) -> Result<Value, Refusal> {
    let wrong = |what: &str| Refusal::new(INVALID_PARAMS, what);
    match method {
        "initialize" => Ok(initialize(peer, params)),
        "ping" => Ok(json!({})),
        "logging/setLevel" => {
            let level = params.get("level").and_then(Value::as_str);
            let level = level.and_then(severity);
            let level = level.ok_or_else(|| wrong("level is not a log level"))?;
            peer.change(|legacy| legacy.level = level);
            Ok(json!({}))
        }
        "resources/subscribe" | "resources/unsubscribe" => {
            let uri = params.get("uri").and_then(Value::as_str);
            let uri = uri.ok_or_else(|| wrong("uri is not text"))?;
            peer.change(|legacy| {
                if method == "resources/subscribe" {
                    legacy.subscriptions.insert(uri.to_owned());
                } else {
                    legacy.subscriptions.remove(uri);
                }
            });
            Ok(json!({}))
        }
        _ => common_method(method, params, false),
    }
}

fn initialize(peer: &Peer, params: &Value) -> Value {
    let asked = params.get("protocolVersion").and_then(Value::as_str);
    let known = asked.filter(|asked| LEGACY_VERSIONS.contains(asked));
    peer.initialized(params.get("capabilities").cloned().unwrap_or_default());
    json!({
        "protocolVersion": known.unwrap_or("2025-11-25"),
        "capabilities": capabilities(false),
        "serverInfo": server_info(),
        "instructions": "for the conformance suite",
    })
}

/// `None` for a request whose answer comes later or never.
fn modern_method(
    server: &Server,
    wire: &Wire,
    id: &Value,
    method: &str,
    params: &Value,
) -> Result<Option<Value>, Refusal> {
    let mut result = match method {
        "server/discover" => json!({
            "supportedVersions": [MODERN_VERSION],
            "capabilities": capabilities(true),
            "instructions": "for the conformance suite",
        }),
        "subscriptions/listen" => {
            server.listens.open(id, wire, params);
            return Ok(None);
        }
        _ => common_method(method, params, true)?,
    };
    if let Some(members) = result.as_object_mut()
        && method != "completion/complete"
    {
        let own = method == "resources/read";
        members.insert("ttlMs".to_owned(), LIST_TTL_MS.into());
        let scope = if own { "private" } else { "public" };
        members.insert("cacheScope".to_owned(), scope.into());
    }
    Ok(Some(modern_result("complete", result)))
}

fn start_call(
    server: &Arc<Server>,
    peer: &Arc<Peer>,
    wire: &Wire,
    request: (Value, bool),
    method: &str,
    params: Value,
) {
    let id = request.0.clone();
    let mut call = match Call::new(server, peer, wire, request, params) {
        Ok(call) => call,
        Err(refusal) => return wire.refuse(&id, &refusal),
    };
    let is_tool = method == "tools/call";
    std::thread::spawn(move || {
        let outcome = if is_tool {
            tools::call(&mut call)
        } else {
            prompts::get(&mut call)
        };
        finish(&call, is_tool, outcome);
    });
}

fn finish(call: &Call, is_tool: bool, outcome: Result<Value, Halt>) {
    let result = match outcome {
        _ if call.is_cancelled() => return,
        Err(Halt::Cancelled) => return,
        Ok(result) if call.modern => modern_result("complete", result),
        Ok(result) => result,
        Err(Halt::InputRequired(result)) => modern_result("input_required", result),
        Err(Halt::Refused(refusal)) => return call.wire.refuse(&call.id, &refusal),
        Err(Halt::Failed(text)) if is_tool => {
            let content = json!([{"type": "text", "text": text}]);
            let failed = json!({"content": content, "isError": true});
            if call.modern {
                modern_result("complete", failed)
            } else {
                failed
            }
        }
        Err(Halt::Failed(text)) => {
            let refusal = Refusal::new(INTERNAL_ERROR, text);
            return call.wire.refuse(&call.id, &refusal);
        }
    };
    call.wire.reply(&call.id, &result);
}

/// Adds what every modern result carries.
fn modern_result(kind: &str, mut result: Value) -> Value {
    if let Some(members) = result.as_object_mut() {
        members.insert("resultType".to_owned(), kind.into());
        let meta = json!({SERVER_INFO: server_info()});
        members.insert("_meta".to_owned(), meta);
    }
    result
}

fn server_info() -> Value {
    json!({"name": "conformance-server", "version": "1.0.0"})
}

fn capabilities(modern: bool) -> Value {
    let mut capabilities = json!({
        "tools": {"listChanged": true},
        "prompts": {"listChanged": true},
        "resources": {"subscribe": true},
        "completions": {},
    });
    if !modern && let Some(members) = capabilities.as_object_mut() {
        members.insert("logging".to_owned(), json!({}));
    }
    capabilities
}
