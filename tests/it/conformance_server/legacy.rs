//! With `initialize`: questions are requests, and the connection has a memory.

use serde_json::{Value, json};

use super::{initialize, start, tool};
use crate::support::StdioServer;
use crate::support::stdio::text_of;

/// Calls the tool that asks for a person's name and gives the id of its question.
fn ask_for_a_name(server: &mut StdioServer) -> (u64, Value) {
    let call = server.ask(
        "tools/call",
        &tool("test_input_required_result_elicitation"),
    );
    let question = server.next();
    assert_eq!(question["method"], "elicitation/create", "{question}");
    (call, question["id"].clone())
}

fn answer(server: &mut StdioServer, question: &Value, name: &str) {
    let result = json!({"action": "accept", "content": {"name": name}});
    server.send(&json!({"jsonrpc": "2.0", "id": question, "result": result}));
}

#[test]
fn a_waiting_call_blocks_no_other_and_gets_its_own_answer() {
    let mut server = start("legacy");
    initialize(&mut server, &json!({"elicitation": {}}));
    let (first, for_first) = ask_for_a_name(&mut server);
    let (second, for_second) = ask_for_a_name(&mut server);
    let quick = server.request("tools/call", &tool("test_simple_text"));
    assert_eq!(
        text_of(&quick),
        "This is a simple text response for testing."
    );
    answer(&mut server, &for_second, "Bo");
    let answered = server.next();
    assert_eq!(
        (&answered["id"], text_of(&answered)),
        (&json!(second), "Hello, Bo!".to_owned())
    );
    answer(&mut server, &for_first, "Al");
    let answered = server.next();
    assert_eq!(
        (&answered["id"], text_of(&answered)),
        (&json!(first), "Hello, Al!".to_owned())
    );
}

#[test]
fn all_kinds_of_questions_are_asked_at_once() {
    let mut server = start("legacy");
    let capabilities = json!({"elicitation": {}, "sampling": {}, "roots": {}});
    initialize(&mut server, &capabilities);
    server.ask(
        "tools/call",
        &tool("test_input_required_result_multiple_inputs"),
    );
    let questions = [server.next(), server.next(), server.next()];
    for question in questions {
        let result = match question["method"].as_str().unwrap() {
            "elicitation/create" => json!({"action": "accept", "content": {"name": "Al"}}),
            "sampling/createMessage" => {
                json!({"role": "assistant", "content": {"type": "text", "text": "Good day"}, "model": "m"})
            }
            "roots/list" => json!({"roots": [{"uri": "file:///a"}, {"uri": "file:///b"}]}),
            other => panic!("asked {other}"),
        };
        server.send(&json!({"jsonrpc": "2.0", "id": question["id"], "result": result}));
    }
    assert_eq!(text_of(&server.next()), "Good day, Al: 2 roots");
}

#[test]
fn what_the_client_cannot_answer_is_not_asked() {
    let mut server = start("legacy");
    initialize(&mut server, &json!({"sampling": {}}));
    let failed = server.request("tools/call", &tool("test_elicitation"));
    assert_eq!(failed["result"]["isError"], true, "{failed}");
    server.ask(
        "tools/call",
        &tool("test_input_required_result_capabilities"),
    );
    let question = server.next();
    assert_eq!(question["method"], "sampling/createMessage", "{question}");
    let error = json!({"code": -1, "message": "no"});
    server.send(&json!({"jsonrpc": "2.0", "id": question["id"], "error": error}));
    assert_eq!(server.next()["result"]["isError"], true);
}

#[test]
fn nothing_but_ping_comes_before_initialize() {
    let mut server = start("legacy");
    assert_eq!(server.request("ping", &json!({}))["result"], json!({}));
    let early = server.request("tools/list", &json!({}));
    assert_eq!(early["error"]["code"], -32600, "{early}");
    initialize(&mut server, &json!({}));
    let listed = server.request("tools/list", &json!({}));
    assert!(listed["result"]["tools"].is_array(), "{listed}");
}

#[test]
fn logs_are_those_of_the_level_that_was_set() {
    let mut server = start("legacy");
    initialize(&mut server, &json!({}));
    server.ask("tools/call", &tool("test_tool_with_logging"));
    let logged = [server.next(), server.next(), server.next()].map(|message| {
        assert_eq!(message["method"], "notifications/message", "{message}");
        message["params"]["level"].clone()
    });
    assert_eq!(logged, ["info", "info", "info"]);
    assert_eq!(text_of(&server.next()), "logged three times");
    server.request("logging/setLevel", &json!({"level": "error"}));
    let silent = server.request("tools/call", &tool("test_tool_with_logging"));
    assert_eq!(text_of(&silent), "logged three times");
}

#[test]
fn progress_comes_in_order_and_before_the_answer() {
    let mut server = start("legacy");
    initialize(&mut server, &json!({}));
    let mut params = tool("test_tool_with_progress");
    params["_meta"] = json!({"progressToken": 7});
    server.ask("tools/call", &params);
    let reported = [server.next(), server.next(), server.next()].map(|message| {
        assert_eq!(message["params"]["progressToken"], 7, "{message}");
        message["params"]["progress"].clone()
    });
    assert_eq!(reported, [0, 50, 100]);
    assert_eq!(text_of(&server.next()), "all done");
}

#[test]
fn changes_are_told_and_those_of_a_resource_only_while_subscribed() {
    let mut server = start("legacy");
    initialize(&mut server, &json!({}));
    let change = tool("test_trigger_resource_change");
    assert_eq!(text_of(&server.request("tools/call", &change)), "told");
    let watched = json!({"uri": "test://watched-resource"});
    server.request("resources/subscribe", &watched);
    server.ask("tools/call", &change);
    let updated = server.next();
    assert_eq!(updated["method"], "notifications/resources/updated");
    assert_eq!(updated["params"], watched);
    assert_eq!(text_of(&server.next()), "told");
    server.request("resources/unsubscribe", &watched);
    assert_eq!(text_of(&server.request("tools/call", &change)), "told");
    server.ask("tools/call", &tool("test_trigger_tool_change"));
    assert_eq!(server.next()["method"], "notifications/tools/list_changed");
}

#[test]
fn a_resource_that_is_not_there_is_the_error_of_this_era() {
    let mut server = start("legacy");
    initialize(&mut server, &json!({}));
    let uri = json!({"uri": "test://nowhere"});
    let refused = server.request("resources/read", &uri);
    assert_eq!(refused["error"]["code"], -32002, "{refused}");
    assert_eq!(refused["error"]["data"], uri);
}
