//! The tools, and calls beside each other.

use serde_json::{Value, json};

use super::client::Client;
use crate::host_server::calls::MAX_CALLS;

#[test]
fn the_host_tools_give_what_their_output_schemas_promise() {
    let mut client = Client::legacy();
    let tools = client.ask(1, "tools/list", &json!({}))["result"]["tools"].take();
    for (name, arguments) in [
        ("system_info", json!({})),
        ("disks", json!({})),
        ("processes", json!({"sort_by": "cpu", "limit": 3})),
    ] {
        let tool = tools
            .as_array()
            .unwrap()
            .iter()
            .find(|tool| tool["name"] == name);
        let schema = &tool.unwrap()["outputSchema"];
        let result = client.call(name, &arguments)["result"].take();
        assert_fits(&result["structuredContent"], schema, name);
        let text = result["content"][0]["text"].as_str().unwrap();
        let told: Value = serde_json::from_str(text).unwrap();
        assert_eq!(told, result["structuredContent"], "{name}");
    }
}

/// Objects have exactly the properties of their schema, and values its type.
fn assert_fits(value: &Value, schema: &Value, at: &str) {
    let kinds = schema["type"].as_array().cloned();
    let kinds = kinds.unwrap_or_else(|| vec![schema["type"].clone()]);
    let fits = kinds.iter().any(|kind| match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    });
    assert!(fits, "{at}: {value} is not {kinds:?}");
    if let (Some(object), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    {
        let names = |map: &serde_json::Map<String, Value>| {
            let mut names: Vec<String> = map.keys().cloned().collect();
            names.sort();
            names
        };
        assert_eq!(names(object), names(properties), "{at}");
        for (name, value) in object {
            assert_fits(value, &properties[name], &format!("{at}.{name}"));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        assert_fits(item, &schema["items"], &format!("{at}[{index}]"));
    }
}

#[test]
fn processes_are_ranked_and_limited_and_show_no_command_line() {
    let mut client = Client::legacy();
    let result = client.call("processes", &json!({"limit": 2}))["result"].take();
    let processes = result["structuredContent"]["processes"]
        .as_array()
        .unwrap()
        .clone();
    assert!((1..=2).contains(&processes.len()), "{processes:?}");
    let memory = |process: &Value| process["memory_bytes"].as_u64().unwrap();
    assert!(processes.is_sorted_by(|a, b| memory(a) >= memory(b)));
    assert!(processes.iter().all(|process| process.get("cmd").is_none()));
}

#[test]
fn wrong_arguments_are_told_inside_the_result_and_name_the_argument() {
    let mut client = Client::legacy();
    let cases = [
        (
            "processes",
            json!({"limit": 0}),
            "\"limit\": 0 is not between 1 and 100",
        ),
        ("processes", json!({"sort_by": "name"}), "\"sort_by\""),
        ("echo", json!({}), "missing field `text`"),
        ("echo", json!({"text": 1}), "\"text\""),
        (
            "echo",
            json!({"text": "", "delay_ms": 60_001}),
            "\"delay_ms\": 60001",
        ),
        (
            "count",
            json!({"steps": 1000, "interval_ms": 10_000}),
            "more than 600000",
        ),
        ("disks", json!({"x": 1}), "unknown field `x`"),
    ];
    for (tool, arguments, expected) in cases {
        let result = client.call(tool, &arguments)["result"].take();
        assert_eq!(result["isError"], true, "{tool} {arguments}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn progress_carries_the_token_in_order_and_comes_before_the_response() {
    for token in [json!(7), json!("t")] {
        let mut client = Client::legacy();
        let params = json!({"name": "count", "arguments": {"steps": 3, "interval_ms": 0},
            "_meta": {"progressToken": token}});
        client.send(1, "tools/call", &params);
        for step in 1..=3 {
            let progress = client.receive().unwrap();
            assert_eq!(progress["method"], "notifications/progress");
            assert_eq!(progress["params"]["progressToken"], token);
            assert_eq!(progress["params"]["progress"], step);
            assert_eq!(progress["params"]["total"], 3);
        }
        assert_eq!(client.receive().unwrap()["id"], 1);
        assert_eq!(client.end(), Vec::<Value>::new());
    }
}

#[test]
fn a_cancelled_call_ends_at_once_and_is_not_answered() {
    let mut client = Client::legacy();
    let params = json!({"name": "count", "arguments": {"steps": 60, "interval_ms": 10_000},
        "_meta": {"progressToken": "p"}});
    client.send(1, "tools/call", &params);
    client.cancel("1"); // another id than the number
    client.cancel(1);
    assert_eq!(client.ask(2, "ping", &json!({}))["result"], json!({}));
    assert_eq!(client.end(), Vec::<Value>::new());
}

#[test]
fn a_slow_call_delays_no_other_and_its_id_is_taken_until_it_ends() {
    let mut client = Client::legacy();
    let slow = json!({"name": "echo", "arguments": {"text": "slow", "delay_ms": 60_000}});
    client.send(1, "tools/call", &slow);
    let quick = client.call("echo", &json!({"text": "quick\nline\u{2028}"}));
    assert_eq!(quick["result"]["content"][0]["text"], "quick\nline\u{2028}");
    assert_eq!(client.ask(1, "ping", &json!({}))["error"]["code"], -32600);
    client.cancel(1);
    let rest = client.end();
    assert_eq!(rest, Vec::<Value>::new());
}

#[test]
fn calls_are_bounded_and_what_waits_at_the_end_of_input_is_answered() {
    let mut client = Client::legacy();
    let slow = json!({"name": "echo", "arguments": {"text": "", "delay_ms": 60_000}});
    for id in 0..MAX_CALLS {
        client.send(id, "tools/call", &slow);
    }
    let refused = client.ask("one more", "tools/call", &slow);
    assert_eq!(refused["error"]["code"], -31004);
    let rest = client.end();
    assert_eq!(rest.len(), MAX_CALLS);
    assert!(rest.iter().all(|answer| answer["error"]["code"] == -31009));
}

#[test]
fn a_disk_is_read_by_the_uri_that_the_tool_names() {
    let mut client = Client::legacy();
    let disks = client.call("disks", &json!({}))["result"]["structuredContent"].take();
    for disk in disks["disks"].as_array().unwrap() {
        let answer = client.ask("r", "resources/read", &json!({"uri": disk["resource"]}));
        let text = answer["result"]["contents"][0]["text"].as_str().unwrap();
        let read: Value = serde_json::from_str(text).unwrap();
        assert_eq!(read["mount"], disk["mount"]);
    }
}

#[test]
fn the_prompt_holds_the_facts() {
    let mut client = Client::legacy();
    let params = json!({"name": "host_report", "arguments": {"focus": "disks"}});
    let result = client.ask(1, "prompts/get", &params)["result"].take();
    let text = result["messages"][0]["content"]["text"].as_str().unwrap();
    assert!(
        text.contains("uptime_seconds") && text.contains("space left"),
        "{text}"
    );
    let params = json!({"name": "host_report", "arguments": {"focus": "x"}});
    assert_eq!(
        client.ask(2, "prompts/get", &params)["error"]["code"],
        -32602
    );
}
