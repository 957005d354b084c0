//! Frames in: which method gets which answer, in either era.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::call::{Call, modern_meta, server_info};
use crate::deeds;
use crate::orders::{Era, HandshakeFault, Orders, ProbeFault};
use crate::state::Gremlin;
use crate::wire;
use crate::{Flow, LIFETIME};

const LEGACY_VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];
const MODERN_VERSION: &str = "2026-07-28";
const CLAIM: &str = "io.modelcontextprotocol/protocolVersion";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";
const NOT_FOUND: i64 = -32601;
const INVALID_PARAMS: i64 = -32602;
const BAD_PARAMS: i64 = -32602;
/// Unsupported protocol version, of the modern era.
const UNSUPPORTED: i64 = -32022;

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// The members of params, each as its bytes: arguments may hold what no tree can (1e400, a lone surrogate).
type RawParams<'a> = BTreeMap<String, &'a RawValue>;

/// Handles one frame; what is not a message is complained of on stderr.
pub(crate) fn handle(gremlin: &Arc<Gremlin>, frame: &[u8]) -> Flow {
    gremlin.count_frame();
    let Ok(text) = std::str::from_utf8(frame) else {
        wire::complain("a frame that is not UTF-8");
        return Flow::Continue;
    };
    let message: Frame<'_> = match serde_json::from_str(text) {
        Ok(message) => message,
        Err(fault) => {
            wire::complain(&format!("a frame that is not a message: {fault}"));
            return Flow::Continue;
        }
    };
    let raw_params = message.params.map(RawValue::get).unwrap_or_default();
    let raw_params: RawParams<'_> = serde_json::from_str(raw_params).unwrap_or_default();
    let parsed = raw_params.iter().map(|(name, value)| {
        let value: Value = serde_json::from_str(value.get()).unwrap_or_default();
        (name.clone(), value)
    });
    let params = Value::Object(parsed.collect());
    match (message.id.map(RawValue::get), message.method) {
        (Some(id), Some(method)) => return request(gremlin, id, &method, &params, &raw_params),
        (Some(id), None) => gremlin.answer_arrived(id, text),
        (None, Some(method)) => notification(gremlin, &method, &params),
        (None, None) => wire::complain("a frame without id and method"),
    }
    Flow::Continue
}

fn notification(gremlin: &Gremlin, method: &str, params: &Value) {
    if method == "notifications/cancelled"
        && let Some(id) = params.get("requestId")
    {
        gremlin.cancel(&id.to_string());
    }
}

fn request(
    gremlin: &Arc<Gremlin>,
    id: &str,
    method: &str,
    params: &Value,
    raw: &RawParams<'_>,
) -> Flow {
    let claims_modern = params
        .pointer("/_meta")
        .is_some_and(|meta| meta.get(CLAIM).is_some());
    let modern = match gremlin.orders.era {
        Era::Legacy => false,
        Era::Modern => true,
        Era::Dual => claims_modern || method == "server/discover",
    };
    if modern {
        if method == "server/discover" {
            handshake(gremlin, id, &discover_result());
        } else if method == "initialize" {
            wire::refuse(id, UNSUPPORTED, "there is no handshake any more", None);
        } else if !claims_modern && method != "ping" {
            wire::refuse(
                id,
                BAD_PARAMS,
                "this request claims no protocol version",
                None,
            );
        } else {
            return common(gremlin, id, method, params, raw, Era::Modern);
        }
        return Flow::Continue;
    }
    if method == "server/discover" {
        wire::flood_stderr(gremlin.orders.probe_stderr, wire::WIDTH);
        let first = !gremlin.initialized.load(Ordering::SeqCst);
        if let Some(fault) = gremlin.orders.fail_probe.filter(|_| first) {
            return strict(fault);
        }
    }
    if method == "initialize" {
        handshake(
            gremlin,
            id,
            &initialize_result(gremlin.orders.fail_handshake, params),
        );
        gremlin.initialized.store(true, Ordering::SeqCst);
    } else if gremlin.orders.silent_probe && !gremlin.initialized.load(Ordering::SeqCst) {
        wire::complain(&format!("{method} before initialize is left unanswered"));
    } else if method == "server/discover" {
        let code = gremlin.orders.probe_code.unwrap_or(NOT_FOUND);
        wire::refuse(id, code, "a legacy server knows no server/discover", None);
    } else {
        return common(gremlin, id, method, params, raw, Era::Legacy);
    }
    Flow::Continue
}

/// Takes the probe for the end of the connection, or of the process.
fn strict(fault: ProbeFault) -> Flow {
    match fault {
        ProbeFault::Exit => std::process::exit(1),
        ProbeFault::CloseStdout => {
            deeds::endings::close_stdout();
            Flow::Continue
        }
        ProbeFault::Wedge => Flow::Pause(LIFETIME),
    }
}

/// Answers the handshake as ordered. The wait is on the reading thread: until then nothing else is answered.
fn handshake(gremlin: &Gremlin, id: &str, result: &Value) {
    std::thread::sleep(Duration::from_millis(gremlin.orders.slow_start_ms));
    match gremlin.orders.fail_handshake {
        None | Some(HandshakeFault::Version) => wire::reply(id, &result.to_string()),
        Some(HandshakeFault::NotObject) => wire::reply(id, "42"),
        Some(HandshakeFault::Error) => wire::refuse(id, -32603, "no handshake today", None),
        Some(HandshakeFault::Silent) => wire::complain("the handshake is left unanswered"),
    }
}

fn capabilities() -> Value {
    json!({
        "tools": {"listChanged": true},
        "prompts": {"listChanged": true},
        "resources": {"listChanged": true, "subscribe": true},
        "logging": {},
    })
}

fn initialize_result(fault: Option<HandshakeFault>, params: &Value) -> Value {
    let asked = params.get("protocolVersion").and_then(Value::as_str);
    let version = match (fault, asked) {
        (Some(HandshakeFault::Version), _) => "1999-01-01",
        (_, Some(asked)) if LEGACY_VERSIONS.contains(&asked) => asked,
        _ => "2025-11-25",
    };
    json!({
        "protocolVersion": version,
        "capabilities": capabilities(),
        "serverInfo": server_info(),
        "instructions": "do not feed after midnight",
    })
}

fn discover_result() -> Value {
    json!({
        "resultType": "complete",
        "supportedVersions": [MODERN_VERSION],
        "capabilities": capabilities(),
        "instructions": "do not feed after midnight",
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": modern_meta(),
    })
}

/// Methods that both eras share, and those that only one of them has.
fn common(
    gremlin: &Arc<Gremlin>,
    id: &str,
    method: &str,
    params: &Value,
    raw: &RawParams<'_>,
    era: Era,
) -> Flow {
    let modern = era == Era::Modern;
    match method {
        "tools/call" => return tool_call(gremlin, id, params, raw, modern),
        "tools/list" if gremlin.orders.no_list => {}
        "tools/list" if gremlin.orders.endless_list => {
            let page = json!({"tools": tools(&gremlin.orders), "nextCursor": "again"});
            answer(id, modern, page);
        }
        "tools/list" => list(id, modern, "tools", &tools(&gremlin.orders)),
        "prompts/list" => list(id, modern, "prompts", &json!([{"name": "riddle"}])),
        "prompts/get" => {
            let said = json!([{"role": "user", "content": {"type": "text", "text": "what am i"}}]);
            answer(id, modern, json!({"messages": said}));
        }
        "resources/list" => {
            let listed = json!([{"uri": "gremlin://nest", "name": "nest"}]);
            list(id, modern, "resources", &listed);
        }
        "resources/templates/list" => list(id, modern, "resourceTemplates", &json!([])),
        "resources/read" => {
            let read = json!([{"uri": params.get("uri"), "text": "twigs"}]);
            list(id, modern, "contents", &read);
        }
        "subscriptions/listen" if modern && wants_refused(params) => {
            wire::refuse(id, INVALID_PARAMS, "such a resource is not to be had", None);
        }
        "subscriptions/listen" if modern => {
            gremlin.listen(id);
            let raw_id: Value = serde_json::from_str(id).unwrap_or_default();
            let honoured = params.get("notifications");
            let ack = json!({"notifications": honoured, "_meta": {SUBSCRIPTION: raw_id}});
            wire::notify("notifications/subscriptions/acknowledged", &ack.to_string());
        }
        "ping" if gremlin.orders.silent_ping => {}
        "ping" if !modern && !gremlin.orders.no_ping => wire::reply(id, "{}"),
        "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" if !modern => {
            wire::reply(id, "{}");
        }
        _ => wire::refuse(id, NOT_FOUND, &format!("method not found: {method}"), None),
    }
    Flow::Continue
}

fn tool_call(
    gremlin: &Arc<Gremlin>,
    id: &str,
    params: &Value,
    raw: &RawParams<'_>,
    modern: bool,
) -> Flow {
    let call = Call::new(id, modern, params, raw.get("arguments").copied());
    match params.get("name").and_then(Value::as_str) {
        Some("echo") => call.say(call.text("text")),
        Some("fidelity") => {
            let members = format!(r#""content":[],"structuredContent":{}"#, call.raw_arguments);
            wire::reply(id, &call.result(&members));
        }
        Some("gremlin") => return deeds::perform(gremlin, call),
        _ => wire::refuse(
            id,
            BAD_PARAMS,
            "unknown tool, expected echo, fidelity or gremlin",
            None,
        ),
    }
    Flow::Continue
}

fn tools(orders: &Orders) -> Value {
    let mut tools = json!([
        {"name": "echo", "description": "gives back its text",
         "inputSchema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}},
        {"name": "fidelity", "description": "gives back the bytes of its arguments as structuredContent",
         "inputSchema": {"type": "object"}},
        {"name": "gremlin", "description": "misbehaves",
         "inputSchema": {"type": "object", "properties": {"do": {"type": "string"}}, "required": ["do"]}},
    ]);
    let more = (0..orders.more_tools).map(|number| {
        let schema = json!({"type": "object", "$ref": orders.schema_ref});
        json!({"name": format!("tool-{number}"), "inputSchema": schema})
    });
    if let Some(tools) = tools.as_array_mut() {
        tools.extend(more);
    }
    tools
}

/// A listen for a resource whose URI begins with `refused:` is refused as a whole.
fn wants_refused(params: &Value) -> bool {
    let uris = params
        .pointer("/notifications/resourceSubscriptions")
        .and_then(Value::as_array);
    let mut uris = uris.into_iter().flatten().filter_map(Value::as_str);
    uris.any(|uri| uri.starts_with("refused:"))
}

fn list(id: &str, modern: bool, name: &str, items: &Value) {
    let mut result = json!({name: items});
    if modern && let Some(members) = result.as_object_mut() {
        members.insert("ttlMs".to_owned(), 0.into());
        members.insert("cacheScope".to_owned(), "private".into());
    }
    answer(id, modern, result);
}

fn answer(id: &str, modern: bool, mut result: Value) {
    if modern && let Some(members) = result.as_object_mut() {
        members.insert("resultType".to_owned(), "complete".into());
        members.insert("_meta".to_owned(), modern_meta());
    }
    wire::reply(id, &result.to_string());
}

/// Sends a change notification: once in the legacy era, once for each open listen request in the modern one.
pub(crate) fn announce(gremlin: &Gremlin, modern: bool, method: &str, params: &Value) {
    if !modern {
        wire::notify(method, &params.to_string());
        return;
    }
    for listen in gremlin.listens() {
        let id: Value = serde_json::from_str(&listen).unwrap_or_default();
        let mut params = params.clone();
        if let Some(members) = params.as_object_mut() {
            members.insert("_meta".to_owned(), json!({SUBSCRIPTION: id}));
        }
        wire::notify(method, &params.to_string());
    }
}
