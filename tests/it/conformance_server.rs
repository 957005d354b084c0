//! The server of the conformance suite over stdio, in each era: what the suite finds wrong behind a gateway is the gateway's.

mod legacy;
mod modern;

use serde_json::{Value, json};

use crate::support::stdio::text_of;
use crate::support::{StdioServer, places};

fn start(era: &str) -> StdioServer {
    StdioServer::start(&places::conformance_server(), &[format!("era={era}")], &[])
}

/// The params of a call of a tool without arguments.
fn tool(name: &str) -> Value {
    json!({"name": name, "arguments": {}})
}

/// The same, or any params, as a modern request: with `_meta` for a client of these capabilities.
fn modern(mut params: Value, capabilities: &Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "tests", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    params
}

/// The legacy handshake of a client with these capabilities; gives the result.
fn initialize(server: &mut StdioServer, capabilities: &Value) -> Value {
    let params = json!({
        "protocolVersion": "2025-06-18",
        "capabilities": capabilities,
        "clientInfo": {"name": "tests", "version": "1"},
    });
    let answer = server.request("initialize", &params);
    server.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    answer["result"].clone()
}

#[test]
fn one_process_serves_both_eras_side_by_side() {
    let mut server = start("dual");
    let discovered = server.request("server/discover", &modern(json!({}), &json!({})));
    let versions = &discovered["result"]["supportedVersions"];
    assert_eq!(versions, &json!(["2026-07-28"]), "{discovered}");
    let chosen = initialize(&mut server, &json!({}));
    assert_eq!(chosen["protocolVersion"], "2025-06-18");
    let legacy = server.request("tools/list", &json!({}));
    let modern = server.request("tools/list", &modern(json!({}), &json!({})));
    assert_eq!(legacy["result"]["tools"], modern["result"]["tools"]);
    assert_eq!(legacy["result"].get("resultType"), None);
    assert_eq!(modern["result"]["resultType"], "complete");
}

/// As with the TypeScript SDK 2.4.0, which the real server of tests/servers stands for.
#[test]
fn a_server_of_both_eras_asks_each_client_as_its_sdk_lets_it() {
    let mut server = start("dual");
    let elicitation = json!({"elicitation": {}});
    let call = |name: &str| modern(tool(name), &elicitation);
    let pushed = server.request("tools/call", &call("test_elicitation"));
    assert_eq!(pushed["result"]["isError"], true, "{pushed}");
    let text = text_of(&pushed);
    assert!(
        text.contains("'elicitation/create' cannot be sent"),
        "{text}"
    );
    let returning = "test_input_required_result_elicitation";
    let returned = server.request("tools/call", &call(returning));
    assert_eq!(
        returned["result"]["resultType"], "input_required",
        "{returned}"
    );
    initialize(&mut server, &elicitation);
    for name in ["test_elicitation", returning] {
        server.ask("tools/call", &tool(name));
        let question = server.next();
        assert_eq!(question["method"], "elicitation/create", "{question}");
    }
}

#[test]
fn one_era_can_be_asked_for() {
    let mut server = start("legacy");
    let probe = server.request("server/discover", &modern(json!({}), &json!({})));
    assert_eq!(probe["error"]["code"], -32601, "{probe}");
    let mut server = start("modern");
    let hello = server.request("initialize", &json!({"protocolVersion": "2025-11-25"}));
    assert_eq!(hello["error"]["code"], -32022, "{hello}");
    let data = json!({"supported": ["2026-07-28"], "requested": "2025-11-25"});
    assert_eq!(hello["error"]["data"], data);
}

#[test]
fn an_unanswered_question_does_not_keep_it_alive() {
    let mut server = start("legacy");
    initialize(&mut server, &json!({"elicitation": {}}));
    server.ask("tools/call", &tool("test_elicitation"));
    assert_eq!(server.next()["method"], "elicitation/create");
    server.hang_up();
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn a_cancelled_call_ends_without_an_answer() {
    let mut server = start("dual");
    initialize(&mut server, &json!({"elicitation": {}}));
    let slow = server.ask("tools/call", &modern(tool("test_slow_tool"), &json!({})));
    let asking = server.ask("tools/call", &tool("test_elicitation"));
    assert_eq!(server.next()["method"], "elicitation/create");
    for id in [slow, asking] {
        let params = json!({"requestId": id});
        server.send(
            &json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}),
        );
    }
    // Takes six times as long as a cancelled call may need to notice.
    let after = server.request("tools/call", &tool("test_reconnection"));
    assert_eq!(text_of(&after), "still here");
}

#[test]
fn a_client_learns_that_its_cancellation_arrived() {
    let mut server = start("dual");
    initialize(&mut server, &json!({}));
    let mine = json!({"label": "mine"});
    let slow = json!({"name": "test_slow_tool", "arguments": mine, "_meta": {"progressToken": 7}});
    let slow = server.ask("tools/call", &slow);
    let running = server.next();
    assert_eq!(running["method"], "notifications/progress", "{running}");
    let params = json!({"requestId": slow});
    server.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}));
    let question = json!({"name": "test_await_cancellation", "arguments": mine});
    assert_eq!(
        text_of(&server.request("tools/call", &question)),
        "cancelled"
    );
}
