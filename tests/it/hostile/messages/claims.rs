//! What messages claim of themselves: who sends them, in which era, under which names (H078 to H084).

use futures_util::future::join_all;
use reqwest::RequestBuilder;

use super::*;
use crate::collector::{Collector, Mode};
use crate::support::gateway::TOKEN;
use crate::support::mcp::{self, modern, modern_post, request, tool_call};
use crate::support::socket::RawSocket;

/// H078: a handshake, a ping or an end that a client asks for is its own affair: the server was shaken
/// hands with once, and stays.
#[tokio::test]
async fn a_client_cannot_shake_hands_with_the_server_itself() {
    let doors = Doors::open().await;
    let client = &doors.client;
    let journal = doors.gateway.journal("s1");
    let own = [
        "initialize",
        "notifications/initialized",
        "server/discover",
        "ping",
    ];
    let counts = || own.map(|method| journal.count_method(method));
    let before = counts();
    let by_process = before[0];
    assert!(
        (1..=2).contains(&by_process),
        "{by_process}: the gateway's own, one for the process of each era"
    );
    let again = ["2025-11-25", "2024-11-05"];
    join_all(again.map(|revision| Session::open(client, "/s1/mcp", revision))).await;
    for door in [Door::Rpc, Door::Wrapper, Door::Legacy] {
        for message in [
            mcp::initialize("2025-06-18"),
            request(1, "ping", &json!({})),
            request(1, "server/discover", &json!({})),
        ] {
            let answer = doors.send(door, message.to_string().as_bytes()).await;
            let told = message_in(door, &answer);
            assert!(told["result"].is_object(), "{door:?}: {message}: {told}");
        }
        let done = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        let taken = doors.send(door, done.to_string().as_bytes()).await;
        assert_eq!(taken.status, 202, "{door:?}: {}", taken.text());
        // No method of MCP: as any other that a server does not know.
        let shutdown = request(1, "shutdown", &json!({}));
        let answer = doors.send(door, shutdown.to_string().as_bytes()).await;
        assert_eq!(
            message_in(door, &answer)["error"]["code"],
            -32601,
            "{door:?}"
        );
    }
    let discover = modern("d", "server/discover", &json!({}));
    let discovered = client.send(modern_post(client, "/s1/mcp", &discover)).await;
    assert_eq!(discovered.status, 200, "{}", discovered.text());
    doors.frames().await;
    assert_eq!(counts(), before);
    assert_eq!(client.status("s1").await["incarnation"], 1);
}

/// H079: whoever names the request of somebody else, or none at all, cancels nothing, and that is counted.
#[tokio::test]
async fn a_cancellation_of_what_is_not_ones_own_is_ignored_and_counted() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("s1"))
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let victim = Session::open(&alice, "/s1/mcp", "2025-11-25").await;
    let second = Session::open(&alice, "/s1/mcp", "2025-11-25").await;
    let foreign = Session::open(&bob, "/s1/mcp", "2025-11-25").await;
    let deed = json!({"do": "sleep", "ms": 500, "say": "unharmed"});
    let mut stream = victim.stream(&tool_call("mine", "gremlin", &deed)).await;
    let journal = gateway.journal("s1");
    wait_until("the call", SOON, || journal.count_method("tools/call") == 1).await;
    let minted = journal.of_method("tools/call")[0]["id"].clone();
    let strange = [
        json!({"requestId": "mine"}),
        json!({"requestId": minted}),
        json!({"requestId": "initialize"}),
        json!({"requestId": "nobody's"}),
        json!({"requestId": null}),
        json!({}),
    ];
    for params in &strange {
        let cancel =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params});
        for session in [&second, &foreign] {
            assert_eq!(session.tell(&cancel).await.status, 202, "{params}");
        }
        assert_eq!(bob.rpc("s1", &cancel).await.status, 202, "{params}");
    }
    let told = stream.message(SOON).await;
    assert_eq!(told["result"]["content"][0]["text"], "unharmed", "{told}");
    assert_eq!(journal.count_method("notifications/cancelled"), 0);
    let metrics = alice.get("/metrics").await.text();
    let counted = format!("reason=\"unknown_cancellation\"}} {}", 3 * strange.len());
    assert!(metrics.contains(&counted), "{metrics}");
}

/// H080: a token is a string or an integer, and short.
#[tokio::test]
async fn a_progress_token_is_an_integer_or_a_short_string() {
    let doors = Doors::open().await;
    let with_token = |token: &str| {
        let params = format!(
            r#"{{"name":"echo","arguments":{{"text":"hi"}},"_meta":{{"progressToken":{token}}}}}"#
        );
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#)
            .into_bytes()
    };
    let long = format!("\"CANARY{}\"", "x".repeat(1_000_000));
    let bad = [
        "{}",
        "[]",
        "null",
        "true",
        "1.5",
        "1e2",
        &long,
        r#""\ud800""#,
    ];
    let bodies: Vec<_> = bad
        .iter()
        .map(|token| (with_token(token), NO_MESSAGE))
        .collect();
    doors.refuse(&bodies).await;
    for token in ["0", "-1", "\"\"", "\"1\"", r#""\u0041""#] {
        for door in [Door::Rpc, Door::Wrapper, Door::Legacy] {
            let (answer, frame) = doors.forward(door, &with_token(token)).await;
            assert_eq!(answer.status, 200, "{door:?}: {token}: {}", answer.text());
            let frame: Value = serde_json::from_slice(&frame).unwrap();
            let seen = &frame["params"]["_meta"]["progressToken"];
            assert_eq!(
                seen, &frame["id"],
                "{door:?}: the gateway's own name for it"
            );
        }
    }
}

/// H081: who sends a message is said by its token alone, whatever `_meta` says.
#[tokio::test]
async fn an_identity_in_meta_is_nobodys() {
    let gateway = Gateway::builder()
        .people()
        .server(Server::gremlin("s1"))
        .start();
    let (alice, bob) = (gateway.alice(), gateway.bob());
    let own = Session::open(&bob, "/s1/mcp", "2025-11-25").await;
    let meta = json!({
        "io.modelcontextprotocol/clientInfo": {"name": "bob", "version": "1"},
        "io.modelcontextprotocol/subscriptionId": 1,
        "io.modelcontextprotocol/serverInfo": {"name": "gateway"},
        "principal": "bob",
    });
    let mut call = tool_call("a", "echo", &json!({"text": "hi"}));
    call["params"]["_meta"] = meta.clone();
    assert_eq!(alice.rpc("s1", &call).await.status, 200);
    let stolen = own.stolen_by(&alice).tell(&call).await;
    assert_eq!(stolen.status, 404, "{}", stolen.text());
    let mut admin = call.clone();
    admin["params"]["_meta"]["admin"] = true.into();
    let stop = alice.request(Method::POST, "/servers/s1/stop").json(&admin);
    assert_eq!(alice.send(stop).await.status, 403);
    let audited = gateway.logs().events("call");
    let who = audited
        .iter()
        .filter(|event| event["method"] == "tools/call");
    let who: Vec<_> = who.map(|event| event["token"].clone()).collect();
    assert!(
        !who.is_empty() && who.iter().all(|token| token == "alice"),
        "{who:?}"
    );
}

/// A gateway that exports to this collector.
fn exporting(collector: &Collector) -> Gateway {
    let endpoint = format!("http://{}", collector.authority());
    Gateway::builder()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .server(Server::gremlin("s1"))
        .start()
}

/// H081: a context that is malformed is no context: the gateway begins a trace of its own. What is too
/// long is dropped, and baggage is neither read nor exported.
#[tokio::test]
async fn a_malformed_context_is_none_and_baggage_goes_nowhere() {
    const NAME: &str = "tools/call echo";
    let collector = tokio::task::spawn_blocking(|| Collector::start(Mode::Normal));
    let collector = collector.await.unwrap();
    let gateway = exporting(&collector);
    let client = gateway.client();
    let valid = "00-11111111111111111111111111111111-2222222222222222-01";
    let long = format!("vendor=CANARY{}", "x".repeat(10_000));
    let forged = [
        (
            "00-00000000000000000000000000000000-2222222222222222-01",
            "a=1",
        ),
        (
            "ff-11111111111111111111111111111111-2222222222222222-01",
            "a=1",
        ),
        (
            "00-11111111111111111111111111111111-2222222222222222-01-CANARY",
            "a=1",
        ),
        ("CANARY", "a=1"),
        (valid, &long),
    ];
    for (parent, state) in forged {
        let mut call = tool_call("a", "echo", &json!({"text": "hi"}));
        call["params"]["_meta"] = json!({"traceparent": parent, "tracestate": state});
        let request = client.request(Method::POST, "/s1/rpc").json(&call);
        let request = request.header("baggage", "secret=CANARY");
        let answer = client.send(request.header("traceparent", parent)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let calls = gateway.journal("s1").of_method("tools/call");
    for (call, (parent, _)) in calls.iter().zip(forged) {
        let meta = &call["params"]["_meta"];
        let told = meta["traceparent"].as_str().unwrap();
        assert_eq!(told.len(), 55, "{call}");
        let goes_on = told.starts_with("00-11111111111111111111111111111111-");
        assert_eq!(goes_on, parent == valid, "{parent}: {call}");
        assert!(
            !meta["tracestate"].to_string().contains("CANARY"),
            "{call:.200}"
        );
        assert!(meta.get("baggage").is_none(), "{call}");
    }
    assert_eq!(gateway.stop().await.code(), Some(0));
    let received = collector.wait_for(SOON, |received| {
        let spans = received.spans.iter();
        spans.filter(|span| span.name == NAME).count() == 2 * forged.len()
    });
    assert!(!format!("{received:?}").contains("CANARY"));
}

/// Status, code and id of a refused modern request.
async fn refusal(client: &Client, request: RequestBuilder) -> (u16, Value, Value) {
    let refused = client.send(request).await;
    let told = refused.json();
    (
        refused.status,
        told["error"]["code"].clone(),
        told["id"].clone(),
    )
}

/// H082: headers that do not say what the body says, or cannot be read, are refused before the server
/// hears of the request.
#[tokio::test]
async fn headers_that_differ_from_the_body_reach_no_server() {
    let doors = Doors::open().await;
    let before = doors.frames().await;
    let client = &doors.client;
    let call = modern(
        3,
        "tools/call",
        &json!({"name": "echo", "arguments": {"text": "x"}}),
    );
    for (name, value) in [
        ("mcp-protocol-version", ""),
        ("mcp-protocol-version", "2025-11-25"),
        ("mcp-method", ""),
        ("mcp-method", "tools/list"),
        ("mcp-method", "tools%2fcall"),
        ("mcp-name", ""),
        ("mcp-name", "Echo"),
        ("mcp-name", "=?base64?!!?="),
        ("mcp-name", "=?base64?ZWNobw?="),
        // "ec\r\nho" and "echo\r\n".
        ("mcp-name", "=?base64?ZWMNCmhv?="),
        ("mcp-name", "=?base64?ZWNobw0K?="),
    ] {
        let own = [
            ("mcp-protocol-version", MODERN),
            ("mcp-method", "tools/call"),
            ("mcp-name", "echo"),
        ];
        let headers = own.map(|own| if own.0 == name { (name, value) } else { own });
        let sent = headers.into_iter().filter(|(_, value)| !value.is_empty());
        let request = mcp::post(client, "/s1/mcp", &call);
        let request = sent.fold(request, |request, (name, value)| {
            request.header(name, value)
        });
        let expected = (400, json!(-32020), json!(3));
        assert_eq!(refusal(client, request).await, expected, "{name}: {value}");
    }
    // A raw line break ends a header, or is none that HTTP knows.
    for name in ["echo\r\n folded", "ec\rho", "ec\nho", "echo\0"] {
        let body = call.to_string();
        let head = format!(
            "POST /s1/mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
             MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\nMcp-Name: {name}\r\nContent-Length: {}\r\n\r\n{body}",
            doors.gateway.address(),
            body.len()
        );
        let mut socket = RawSocket::connect(doors.gateway.address()).await;
        socket.send(head).await;
        let head = socket.head(SOON).await;
        assert!(head.is_none_or(|head| head.status == 400), "{name:?}");
    }
    assert_eq!(doors.frames().await, before);
}

/// H084: what the client takes and sends is read as HTTP says, at every door: `*/*` and nothing at all take
/// everything, a weight of zero takes nothing, and a body is JSON in UTF-8 once and plainly.
#[tokio::test]
async fn types_are_negotiated_alike_at_every_door() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    let doors = Doors::open().await;
    let ping = request(1, "ping", &json!({}));
    let wrapped = json!({"server_id": "s1", "payload": ping});
    let cases: [(&[(&str, &str)], u16); 12] = [
        (&[JSON], 200),
        (&[JSON, ("accept", "*/*")], 200),
        (
            &[JSON, ("accept", "text/html, application/json;q=0.1")],
            200,
        ),
        (
            &[("content-type", "application/json; charset=\"utf-8\"")],
            200,
        ),
        (&[JSON, ("accept", "application/json;q=0")], 406),
        (&[JSON, ("accept", "*/*;q=0")], 406),
        (&[JSON, ("accept", "text/html")], 406),
        (&[], 415),
        (&[("content-type", "text/plain")], 415),
        (&[("content-type", "application/json; charset=utf-16")], 415),
        (&[JSON, JSON], 415),
        (&[JSON, ("content-encoding", "gzip")], 415),
    ];
    for (path, body) in [("/s1/rpc", &ping), ("/rpc", &wrapped), ("/s1/mcp", &ping)] {
        for (headers, status) in &cases {
            let request = doors.client.request(Method::POST, path);
            // The session is of one path.
            let in_session = [("mcp-session-id", doors.session.id.as_str())];
            let in_session = in_session.iter().filter(|_| path == "/s1/mcp");
            let all = headers.iter().chain(in_session);
            let request = all.fold(request, |request, (name, value)| {
                request.header(*name, *value)
            });
            let answer = doors.client.send(request.body(body.to_string())).await;
            assert_eq!(
                answer.status,
                *status,
                "{path}: {headers:?}: {}",
                answer.text()
            );
        }
    }
}
