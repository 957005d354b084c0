//! Without `initialize`: each request stands alone, and questions are results.

use serde_json::{Value, json};

use super::{modern, start, tool};
use crate::support::StdioServer;
use crate::support::stdio::text_of;

const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

fn everything() -> Value {
    json!({"elicitation": {}, "sampling": {}, "roots": {}})
}

/// Calls a tool as a client with every capability; gives the whole answer.
fn call(server: &mut StdioServer, name: &str, round: &Value) -> Value {
    let mut params = tool(name);
    for (key, value) in round.as_object().unwrap() {
        params[key] = value.clone();
    }
    server.request("tools/call", &modern(params, &everything()))
}

fn accepted(content: &Value) -> Value {
    json!({"action": "accept", "content": content})
}

#[test]
fn a_call_asks_by_its_result_and_remembers_by_its_state() {
    let mut server = start("modern");
    let name = "test_input_required_result_multi_round";
    let first = call(&mut server, name, &json!({}));
    assert_eq!(first["result"]["resultType"], "input_required", "{first}");
    let question = &first["result"]["inputRequests"]["step1"];
    assert_eq!(question["method"], "elicitation/create");
    let round = json!({
        "inputResponses": {"step1": accepted(&json!({"name": "Al"}))},
        "requestState": first["result"]["requestState"],
    });
    let second = call(&mut server, name, &round);
    assert_eq!(second["result"]["resultType"], "input_required", "{second}");
    assert_ne!(
        second["result"]["requestState"],
        first["result"]["requestState"]
    );
    let round = json!({
        "inputResponses": {"step2": accepted(&json!({"color": "blue"}))},
        "requestState": second["result"]["requestState"],
    });
    let third = call(&mut server, name, &round);
    assert_eq!(third["result"]["resultType"], "complete", "{third}");
    assert_eq!(text_of(&third), "Al likes blue");
}

#[test]
fn a_state_that_was_changed_or_belongs_elsewhere_is_refused() {
    let mut server = start("modern");
    let name = "test_input_required_result_tampered_state";
    let first = call(&mut server, name, &json!({}));
    let state = first["result"]["requestState"].as_str().unwrap();
    let responses = json!({"confirm": accepted(&json!({"ok": true}))});
    let round = |state: &str| json!({"inputResponses": responses, "requestState": state});
    let mut forged: Vec<char> = state.chars().collect();
    forged[0] = if forged[0] == 'e' { 'f' } else { 'e' };
    for state in [
        format!("{state}-TAMPERED"),
        forged.into_iter().collect(),
        String::new(),
    ] {
        let refused = call(&mut server, name, &round(&state));
        assert_eq!(refused["error"]["code"], -32602, "{state}: {refused}");
    }
    let elsewhere = "test_input_required_result_request_state";
    let refused = call(&mut server, elsewhere, &round(state));
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    let mut stranger = start("modern");
    let refused = call(&mut stranger, name, &round(state));
    assert_eq!(refused["error"]["code"], -32602, "{refused}");
    assert_eq!(
        text_of(&call(&mut server, name, &round(state))),
        "state-ok, answer: true"
    );
}

#[test]
fn answers_are_checked_and_missing_ones_asked_for_again() {
    let mut server = start("modern");
    let name = "test_input_required_result_elicitation";
    for wrong in [json!(null), json!({"user_name": 12345})] {
        let refused = call(&mut server, name, &json!({"inputResponses": wrong}));
        assert_eq!(refused["error"]["code"], -32602, "{refused}");
    }
    let other = json!({"inputResponses": {"other": accepted(&json!({}))}});
    let again = call(&mut server, name, &other);
    let question = &again["result"]["inputRequests"]["user_name"]["method"];
    assert_eq!(question, "elicitation/create", "{again}");
}

#[test]
fn an_undeclared_capability_is_named() {
    let mut server = start("modern");
    let params = modern(tool("test_missing_capability"), &json!({"elicitation": {}}));
    let refused = server.request("tools/call", &params);
    assert_eq!(refused["error"]["code"], -32021, "{refused}");
    let needed = json!({"requiredCapabilities": {"sampling": {}}});
    assert_eq!(refused["error"]["data"], needed);
    let name = "test_input_required_result_capabilities";
    let params = modern(tool(name), &json!({"sampling": {}}));
    let asked = server.request("tools/call", &params);
    let questions = asked["result"]["inputRequests"].as_object().unwrap();
    assert_eq!(questions.len(), 1, "{asked}");
    assert_eq!(questions["greeting"]["method"], "sampling/createMessage");
}

#[test]
fn a_request_says_its_revision_and_what_its_client_can_do() {
    let mut server = start("modern");
    let bare = server.request("tools/list", &json!({}));
    assert_eq!(bare["error"]["code"], -32602, "{bare}");
    let mut params = modern(json!({}), &json!({}));
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "v999".into();
    let unknown = server.request("tools/list", &params);
    assert_eq!(unknown["error"]["code"], -32022, "{unknown}");
    let data = json!({"supported": ["2026-07-28"], "requested": "v999"});
    assert_eq!(unknown["error"]["data"], data);
    for removed in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
    ] {
        let answer = server.request(removed, &modern(json!({}), &json!({})));
        assert_eq!(answer["error"]["code"], -32601, "{removed}: {answer}");
    }
}

#[test]
fn lists_and_resources_say_how_long_they_keep() {
    let mut server = start("modern");
    for (method, scope) in [
        ("server/discover", "public"),
        ("tools/list", "public"),
        ("prompts/list", "public"),
        ("resources/list", "public"),
        ("resources/templates/list", "public"),
        ("resources/read", "private"),
    ] {
        let params = modern(json!({"uri": "test://static-text"}), &json!({}));
        let result = server.request(method, &params)["result"].clone();
        assert_eq!(
            (
                &result["cacheScope"],
                &result["ttlMs"],
                &result["resultType"]
            ),
            (&json!(scope), &json!(60_000), &json!("complete")),
            "{method}"
        );
        let name = &result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"];
        assert_eq!(name, "conformance-server", "{method}");
    }
}

#[test]
fn logs_come_only_when_the_request_wants_them() {
    let mut server = start("modern");
    let mut params = modern(tool("test_logging_tool"), &json!({}));
    let silent = server.request("tools/call", &params);
    assert_eq!(text_of(&silent), "logged once");
    params["_meta"]["io.modelcontextprotocol/logLevel"] = "debug".into();
    server.ask("tools/call", &params);
    assert_eq!(server.next()["method"], "notifications/message");
    assert_eq!(text_of(&server.next()), "logged once");
}

#[test]
fn a_listen_request_is_acknowledged_and_told_what_it_asked_for() {
    let mut server = start("modern");
    let wishes = json!({"notifications": {
        "promptsListChanged": true,
        "resourcesListChanged": true,
        "resourceSubscriptions": ["test://watched-resource"],
    }});
    let listen = server.ask("subscriptions/listen", &modern(wishes, &json!({})));
    let acknowledged = server.next();
    assert_eq!(
        acknowledged["method"], "notifications/subscriptions/acknowledged",
        "{acknowledged}"
    );
    let honoured = json!({
        "promptsListChanged": true,
        "resourceSubscriptions": ["test://watched-resource"],
    });
    assert_eq!(acknowledged["params"]["notifications"], honoured);
    assert_eq!(acknowledged["params"]["_meta"][SUBSCRIPTION_ID], listen);
    let told = call(&mut server, "test_trigger_tool_change", &json!({}));
    assert_eq!(text_of(&told), "told");
    for (cause, told) in [
        (
            "test_trigger_prompt_change",
            "notifications/prompts/list_changed",
        ),
        (
            "test_trigger_resource_change",
            "notifications/resources/updated",
        ),
    ] {
        server.ask("tools/call", &modern(tool(cause), &json!({})));
        let change = server.next();
        assert_eq!(change["method"], told, "{change}");
        assert_eq!(change["params"]["_meta"][SUBSCRIPTION_ID], listen);
        assert_eq!(text_of(&server.next()), "told");
    }
    let params = json!({"requestId": listen});
    server.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}));
    let told = call(&mut server, "test_trigger_prompt_change", &json!({}));
    assert_eq!(text_of(&told), "told");
}
