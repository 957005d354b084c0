//! Bytes cross as they are: requests to the child, answers to the client, except what the gateway must change.
//!
//! What is the same is compared with the same gremlin spoken to directly.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::oracle::Oracle;
use crate::support::wait::wait_until;
use crate::support::{Gateway, Server, StdioServer};

/// Where the request's id stands in a template.
const ID: &str = "@ID@";
/// Where the progress token stands in a template.
const TOKEN: &str = "@TOKEN@";

/// Values that a parser and a printer would change: doubled keys, numbers that are no `f64`, halves of
/// surrogate pairs, separators that some readers take for line ends, escapes that need none, spaces.
const ODD: &str = concat!(
    r#""a":1,"a":2,"one":1.0,"huge":1e400,"zero":-0.0,"digits":123456789012345678901234567890,"#,
    r#""half":"\ud800","halves":"\udc00\ud800","pair":"\ud83d\ude00","#,
    "\"separators\":\"\u{2028}\u{2029}\u{85}\",",
    r#""escapes":"\/\u0041\u0000\n\r","":{},"spaces" : [ 1 ,	2 ] ,"__proto__":null"#,
);

fn same(what: &str, got: &[u8], expected: &[u8]) {
    if got == expected {
        return;
    }
    let at = got.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let from = at.saturating_sub(40);
    let near = |bytes: &[u8]| {
        let part = &bytes[from.min(bytes.len())..(at + 40).min(bytes.len())];
        String::from_utf8_lossy(part).into_owned()
    };
    panic!(
        "{what} differs at byte {at} of {} and {}: {:?}, expected {:?}",
        got.len(),
        expected.len(),
        near(got),
        near(expected)
    );
}

fn direct() -> StdioServer {
    let mut server = StdioServer::gremlin(&json!({}));
    server.initialize();
    server
}

fn ask_directly(server: &mut StdioServer, body: &str) -> Vec<u8> {
    server.send_bytes(format!("{body}\n").as_bytes());
    server.next_line().expect("an answer")
}

async fn ask(client: &Client, body: &str) -> Vec<u8> {
    let answer = client.post("/g1/rpc", body.to_owned()).await;
    assert_eq!(answer.status, 200, "{body:.200}");
    assert_eq!(answer.header("content-type"), "application/json");
    answer.body
}

/// The frame of the journal's last entry; panics unless it is what this template was sent as: the minted
/// integer in the place of the id and of the token, and no other byte changed.
fn last_frame_is(gateway: &Gateway, template: &str) {
    let frame = gateway
        .journal("g1")
        .entries()
        .pop()
        .expect("a frame")
        .frame;
    let begin = template.find(ID).expect("a template");
    let digits = frame[begin..].iter();
    let digits = digits.take_while(|byte| byte.is_ascii_digit()).count();
    assert!(digits > 0, "no integer in the place of the id");
    let minted = std::str::from_utf8(&frame[begin..begin + digits]).unwrap();
    let expected = template.replace(ID, minted).replace(TOKEN, minted);
    same("the frame", &frame, expected.as_bytes());
}

#[tokio::test]
async fn odd_values_and_fifteen_mebibytes_of_text_cross_byte_for_byte() {
    const SIZE: usize = 15 * 1024 * 1024;
    let text = "fünfzehn \u{2028} MiB \\ud800\\n 😀 ";
    let text = text.repeat(SIZE / text.len());
    let arguments = format!(r#"{{{ODD},"text":"{text}"}}"#);
    let template = format!(
        r#"{{"jsonrpc":"2.0","id":{ID},"method":"tools/call","params":{{"name":"fidelity","arguments":{arguments}}}}}"#
    );
    let expected = format!(
        r#"{{"jsonrpc":"2.0","id":7,"result":{{"content":[],"structuredContent":{arguments}}}}}"#
    );
    let body = template.replace(ID, "7");
    let gateway = Gateway::builder()
        .limit("max_body_bytes", 16 * 1024 * 1024)
        .server(Server::gremlin("g1"))
        .start();
    let through = ask(&gateway.client(), &body).await;
    same("the answer", &through, expected.as_bytes());
    same(
        "the direct answer",
        &ask_directly(&mut direct(), &body),
        &through,
    );
    last_frame_is(&gateway, &template);
}

/// Requests as no library would write them, each with its id, and what is special about it.
fn odd_requests() -> Vec<String> {
    let raw = format!("{{{ODD}}}");
    let raw = json!({"do": "raw", "result": raw});
    let refuse =
        json!({"do": "refuse", "code": -32042, "message": "no\n\u{2028}", "data": {"a": [1.5]}});
    vec![
        // Members in any order, spaces and tabs anywhere between tokens.
        format!(
            r#"{{"params":{{"arguments":{{{ODD}}},"name":"fidelity"}},"method":"tools/call","id":{ID},"jsonrpc":"2.0"}}"#
        ),
        format!(
            "{{ \"jsonrpc\" :\t\"2.0\" , \"id\"\t: {ID} , \"method\" : \"tools/call\" , \"params\" : {{ \"name\" : \"fidelity\" , \"arguments\" : {{ {ODD} }} }} }}"
        ),
        // Members that no revision knows.
        format!(
            r#"{{"jsonrpc":"2.0","x-before":{{"id":1,"method":"x"}},"id":{ID},"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"é"}},"id":3,"x":[[]]}},"x-after":1e999}}"#
        ),
        // The same names, with escapes.
        format!(
            r#"{{"jsonrpc":"2.0","id":{ID},"\u006dethod":"tools\/call","params":{{"name":"echo","arguments":{{"text":"\u0065"}}}}}}"#
        ),
        // `_meta` with keys of others and without a token.
        format!(
            r#"{{"jsonrpc":"2.0","id":{ID},"method":"tools/call","params":{{"_meta":{{"example.com/key":1.0,"example.com/key":2}},"name":"fidelity","arguments":{{{ODD}}}}}}}"#
        ),
        // A token that becomes ours.
        format!(
            r#"{{"jsonrpc":"2.0","id":{ID},"method":"tools/call","params":{{"_meta":{{"a":1, "progressToken" : {TOKEN} ,"b":"\ud800"}},"name":"echo","arguments":{{"progressToken":5}}}}}}"#
        ),
        // Params that are a list, that are absent, and a method that nobody has.
        format!(
            r#"{{"jsonrpc":"2.0","id":{ID},"method":"example/list","params":[1e400,{{{ODD}}}]}}"#
        ),
        format!(r#"{{"jsonrpc":"2.0","id":{ID},"method":"tools/list"}}"#),
        format!(r#"{{"jsonrpc":"2.0","id":{ID},"method":"example/\u2028\ud83d\ude00"}}"#),
        // Answers of the child's own making, results and errors.
        format!(
            r#"{{"jsonrpc":"2.0","id":{ID},"method":"tools/call","params":{{"name":"gremlin","arguments":{raw}}}}}"#
        ),
        format!(
            r#"{{"jsonrpc":"2.0","id":{ID},"method":"tools/call","params":{{"name":"gremlin","arguments":{refuse}}}}}"#
        ),
    ]
}

/// H058, H059, H063, H069, H095: what is the server's or the client's to read crosses byte for byte.
#[tokio::test]
async fn odd_requests_and_their_answers_are_those_of_the_server_itself() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let mut direct = direct();
    let ids = [
        "7",
        "0",
        "-9223372036854775808",
        "123456789012345678901234567890",
        r#""""#,
        r#""7""#,
        r#""\u0041\/\"\\ é\u2028""#,
    ];
    for template in odd_requests() {
        for id in ids {
            let body = template.replace(ID, id).replace(TOKEN, r#""t\u0041""#);
            let through = ask(&client, &body).await;
            let expected = ask_directly(&mut direct, &body);
            same(&format!("the answer to {body}"), &through, &expected);
            last_frame_is(&gateway, &template);
        }
    }
    Oracle::written_at_most_once(&gateway, "g1");
}

/// H065 and H066: whatever the layout, one request is one line, and what it carries is not a request.
#[tokio::test]
async fn a_message_inside_a_message_is_not_a_message() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let evil = r#"{"jsonrpc":"2.0","id":"evil","method":"tools/call","params":{"name":"echo","arguments":{"text":"evil"}}}"#;
    let arguments =
        format!("{{\n  \"list\": [\n{evil}\n,\r\n{evil}\r\n],\r  \"text\": \"a\\nb\"\n}}");
    let templates = [
        format!(
            "{{\r\n  \"jsonrpc\": \"2.0\",\n  \"id\": {ID},\n  \"method\": \"tools/call\",\n  \"params\": {{\n    \"name\": \"fidelity\",\n    \"arguments\": {arguments}\n  }}\n}}"
        ),
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{ID},\"method\":\"tools/call\",\"params\":[\n{evil}\n]\n}}"
        ),
        format!(
            "{{\"params\":\n{evil}\n,\"jsonrpc\":\"2.0\",\"id\":\n{ID}\r,\"method\":\"example/other\"}}"
        ),
    ];
    ask(&client, r#"{"jsonrpc":"2.0","id":0,"method":"tools/list"}"#).await;
    for (number, template) in templates.iter().enumerate() {
        let before = gateway.journal("g1").entries().len();
        let body = format!("\n{}\n\n", template.replace(ID, "7"));
        let answer = ask(&client, &body).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(answer["id"], 7, "{answer}");
        let entries = gateway.journal("g1").entries();
        assert_eq!(entries.len(), before + 1, "frames of {template:?}");
        last_frame_is(&gateway, &template.replace(['\r', '\n'], " "));
        let texts = answer["result"]["structuredContent"]["list"].as_array();
        assert_eq!(texts.map_or(0, Vec::len), if number == 0 { 2 } else { 0 });
    }
    let entries = gateway.journal("g1").entries();
    assert!(entries.iter().all(|entry| entry.json()["id"] != "evil"));
}

/// A notification crosses as it is too, and is answered by nothing.
#[tokio::test]
async fn a_notification_crosses_byte_for_byte() {
    let gateway = Gateway::builder().server(Server::gremlin("g1")).start();
    let client = gateway.client();
    let body =
        format!(r#"{{"params":{{{ODD}}} ,"jsonrpc":"2.0","method":"notifications/example"}}"#);
    let answer = client.post("/g1/rpc", body.clone()).await;
    assert_eq!((answer.status, answer.body.as_slice()), (202, &b""[..]));
    let journal = gateway.journal("g1");
    wait_until("the notification", Duration::from_secs(10), || {
        journal.count("notifications/example") == 1
    })
    .await;
    let frame = journal.entries().pop().unwrap().frame;
    same("the notification", &frame, body.as_bytes());
}
