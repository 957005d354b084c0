//! Lines that are no messages, too long to be read twice, or that look like something else (H093 to H095, H097).

use super::*;
use crate::support::cli;
use crate::support::sse::Item;

/// H093: what is no message is skipped and counted, and the answer behind it arrives.
#[tokio::test]
async fn lines_that_are_no_messages_are_skipped_and_counted() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    let message = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let lines = [
        String::new(),
        "   \t ".to_owned(),
        "\0\0".to_owned(),
        "\u{1b}[2J\u{1b}[31mstarting\u{1b}[0m".to_owned(),
        "> host@1.0.0 start".to_owned(),
        "[1,2,3]".to_owned(),
        "null".to_owned(),
        format!("{message}{message}"),
        format!("{message},"),
    ];
    let mut stream = client.listen("/s1/rpc").await;
    for line in &lines {
        let before = dropped(&client, "garbage_line").await;
        let answer = client
            .deed("s1", &json!({"do": "write", "frame": line}))
            .await;
        assert_eq!(text_of(&answer.json()), "written", "{line:?}");
        assert_eq!(
            dropped(&client, "garbage_line").await,
            before + 1,
            "{line:?}"
        );
    }
    // Bytes that no JSON text can bring to the gremlin: invalid UTF-8 and headers are among these.
    let before = dropped(&client, "garbage_line").await;
    let garbage = client
        .deed("s1", &json!({"do": "garbage", "lines": 9}))
        .await;
    assert_eq!(text_of(&garbage.json()), "that was garbage");
    assert_eq!(dropped(&client, "garbage_line").await, before + 9);
    // The next thing that is heard is the first that was a message.
    client
        .deed("s1", &json!({"do": "list_changed", "of": "prompts"}))
        .await;
    let heard = stream.message(SOON).await;
    assert_eq!(
        heard["method"], "notifications/prompts/list_changed",
        "{heard}"
    );
    assert!(!gateway.logs().text().contains('\u{1b}'));
    is_well(&client).await;
}

/// H093: a line may end as on Windows.
#[tokio::test]
async fn a_carriage_return_before_the_end_of_a_line_belongs_to_the_end() {
    let gateway = gateway(10_000);
    let line = r#"{"jsonrpc":"2.0","id":@ID@,"result":{"a":1}}"#.to_owned() + "\r";
    let answer = gateway
        .client()
        .deed("s1", &json!({"do": "line", "line": line}))
        .await;
    assert_eq!(
        answer.text(),
        r#"{"jsonrpc":"2.0","id":1,"result":{"a":1}}"#
    );
    assert_eq!(dropped(&gateway.client(), "garbage_line").await, 0);
}

/// The mistake stands in the log, once.
async fn said_once(gateway: &Gateway, mistake: &str) {
    let message = format!("the server {mistake}");
    gateway.logs().event(&message, SOON).await;
    assert_eq!(gateway.logs().events(&message).len(), 1);
}

/// H093: a server with headers before its messages is told so in one sentence.
#[tokio::test]
async fn headers_before_messages_are_named_as_the_mistake() {
    let gateway = gateway(500);
    let client = gateway.client();
    is_well(&client).await;
    assert_eq!(client.status("s1").await["stdout_fault"], Value::Null);
    let reply = r#"{"jsonrpc":"2.0","id":@ID@,"result":{}}"#;
    let line = format!("Content-Length: 38\r\n\r\n{reply}Content-Length: 38\r\n\r\n{reply}");
    let answer = client
        .deed("s1", &json!({"do": "line", "line": line}))
        .await;
    // Its first message was glued to what came behind it.
    assert_eq!(
        fault_of(&answer),
        (502, json!("bad_reply")),
        "{}",
        answer.text()
    );
    let told = "writes Content-Length headers (LSP framing), expected one JSON message a line";
    let shown = format!("{told}; it wrote \"Content-Length: 38\"");
    assert_eq!(client.status("s1").await["stdout_fault"], shown);
    said_once(&gateway, told).await;
    is_well(&client).await;
}

/// H094: a reply that goes over several lines is none; the one that waits is told so in time, the operator
/// why.
#[tokio::test]
async fn a_reply_over_several_lines_is_none_and_named_as_the_mistake() {
    let gateway = gateway(500);
    let client = gateway.client();
    let reply =
        "{\n  \"jsonrpc\": \"2.0\",\n  \"id\": @ID@,\n  \"result\": {\n    \"a\": []\n  }\n}";
    let before = dropped(&client, "garbage_line").await;
    let answer = client
        .deed("s1", &json!({"do": "line", "line": reply}))
        .await;
    assert_eq!(
        fault_of(&answer),
        (504, json!("server_timeout")),
        "{}",
        answer.text()
    );
    // The lines that are JSON by themselves, such as `}`, are as little messages as the others.
    assert_eq!(dropped(&client, "garbage_line").await, before + 7);
    let told = "writes JSON over several lines, expected one JSON message a line";
    assert_eq!(client.status("s1").await["stdout_fault"], told);
    said_once(&gateway, told).await;
    is_well(&client).await;
}

/// H093, H094: so is a server that never gets its handshake across, also by `check --start`.
#[tokio::test]
async fn a_handshake_in_the_wrong_framing_fails_with_the_mistake_beside_it() {
    let script = |reply: &str| format!("while read line; do printf '{reply}'; done");
    let lsp = script(r#"Content-Length: 38\r\n\r\n{"jsonrpc":"2.0","id":1,"result":{}}"#);
    let pretty = script(r#"{\n  "jsonrpc": "2.0",\n  "id": 1,\n  "result": {}\n}\n"#);
    let servers = || {
        Gateway::builder()
            .fault_profile()
            .set("restart_limit", json!({"count": 1, "window_ms": 10_000}))
            .server(Server::new("lsp", "sh", &["-c", &lsp]).autostart())
            .server(Server::new("pretty", "sh", &["-c", &pretty]).autostart())
    };
    let mistakes = [("lsp", "LSP framing"), ("pretty", "over several lines")];
    let gateway = servers().start();
    for (server_id, mistake) in mistakes {
        let status = wait_for("the server to be given up", SOON, async || {
            let status = gateway.client().status(server_id).await;
            (status["status"] == "failed").then_some(status)
        })
        .await;
        let told = status["stdout_fault"].as_str().unwrap_or_default();
        assert!(told.contains(mistake), "{status}");
    }
    let folder = tempfile::tempdir().unwrap();
    let config = servers().write(folder.path());
    let config = config.to_str().unwrap();
    let checked = cli::run(folder.path(), &["--config", config, "check", "--start"]);
    for (_, mistake) in mistakes {
        assert!(checked.stdout.contains(mistake), "{checked:?}");
    }
}

/// H095: whatever a result holds crosses byte for byte below the caps, and costs no stack above them.
#[tokio::test]
async fn an_excessive_result_crosses_as_it_is_or_is_a_bad_reply() {
    let gateway = gateway(20_000);
    let client = gateway.client();
    let members: Vec<_> = (0..100_000).map(|n| format!("\"k{n}\":{n}")).collect();
    let fine = [
        format!("{{{}}}", members.join(",")),
        format!("[{}]", "7".repeat(1_000_000)),
        format!("[0.{}e-1]", "3".repeat(1_000_000)),
        "[1e999,-1e999,1E+400]".to_owned(),
        format!("[\"{}\"]", "é".repeat(1_000_000)),
        format!("{}{}", "[".repeat(127), "]".repeat(127)),
    ];
    for result in fine {
        let answer = client
            .deed("s1", &json!({"do": "raw", "result": result}))
            .await;
        let expected = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        assert!(
            answer.text() == expected,
            "{result:.60}: {:.200}",
            answer.text()
        );
    }
    let deep = [
        format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000)),
        format!("{}1{}", "{\"a\":".repeat(200_000), "}".repeat(200_000)),
        "[".repeat(1_000_000),
    ];
    for result in deep {
        let answer = client
            .deed("s1", &json!({"do": "raw", "result": result}))
            .await;
        assert_eq!(fault_of(&answer), (502, json!("bad_reply")), "{result:.20}");
    }
    is_well(&client).await;
}

/// H097: a text that looks like an event is a text: each message is one event with one line of data.
#[tokio::test]
async fn a_text_that_looks_like_an_event_is_none() {
    let gateway = gateway(10_000);
    let client = gateway.client();
    let text = "x\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"call\",\"result\":{}}\n\nevent: evil\rid: 7\r\nretry: 1\n\n: c";
    let session = Session::open(&client, "/s1/mcp", REVISION).await;
    let deed = json!({"do": "progress", "count": 2, "interval_ms": 60, "note": text, "say": text});
    let mut call = tool_call("call", "gremlin", &deed);
    call["params"]["_meta"] = json!({"progressToken": 1});
    let modern = {
        let mut call = modern_call("gremlin", &deed, &json!({}));
        call["params"]["_meta"]["progressToken"] = 1.into();
        modern_post(&client, "/s1/mcp", &call)
    };
    // A line break between tokens, which JSON allows, is none in the event either.
    let broken = r#"{"jsonrpc":"2.0","method":"notifications/progress",@"params":{"progressToken":1,"progress":1}}"#;
    let broken = json!({"do": "write", "frame": broken.replace('@', "\r")});
    let mut streams = vec![session.stream(&call).await, client.stream(modern).await];
    for stream in &mut streams {
        let mut heard = Vec::new();
        while let Some(item) = stream.next(SOON).await {
            let Item::Event(event) = item else { continue };
            assert_eq!(event.name, None, "{event:?}");
            let data = event.data.unwrap_or_default();
            assert!(!data.contains('\n'), "{data}");
            if !data.is_empty() {
                heard.push(serde_json::from_str::<Value>(&data).unwrap());
            }
        }
        assert_eq!(heard.len(), 3, "{heard:?}");
        assert_eq!(text_of(&heard[2]), text);
        assert_eq!(heard[0]["params"]["message"], format!("{text}: 1 of 2"));
    }
    let answer = client.deed("s1", &broken).await;
    assert_eq!(text_of(&answer.json()), "written");
    let events = mcp::post(&client, "/s1/mcp", &mcp::initialize(REVISION));
    let events = client
        .send(events.header("accept", "text/event-stream"))
        .await;
    assert_eq!(
        events.text().matches("data: ").count(),
        usize::from(events.header("content-type") == "text/event-stream")
    );
}
