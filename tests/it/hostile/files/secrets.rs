//! A sweep for secrets through everything that a gateway says of itself, whatever happens to it.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::sweep::Sweep;
use crate::collector::{Collector, Mode};
use crate::support::client::Client;
use crate::support::mcp::{Session, modern, modern_post, tool_call};
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server, process};

const SOON: Duration = Duration::from_secs(10);

const TOKEN: &str = "t0Kq9ZxWv7Lm2Rb8Yc4Hn6Pd1Fs5Jg3";
const OTHER_TOKEN: &str = "o4Tu8Ie2Wq6Rz1Xk9Bn5Vm3Lc7Gh0Yf";
const WRONG_TOKEN: &str = "w2Ng6Sd0Ka4Jf8Hp3Uy7Tr1Ez5Qx9Bv";
const VARIABLE: &str = "v7Cb1Mn5Lk9Jh3Gf6Ds0Ap4Oi8Uy2Tr";
const ARGUMENT: &str = "a3Xs7Ed1Cr5Fv9Tg2Bh6Yn0Uj4Mi8Ko";
const HEADER: &str = "h5Qa9Ws3Ed7Rf1Tg4Yh8Uj2Ik6Ol0Pz";
const BODY: &str = "b8Lp2Ok6Ij0Uh4Yg7Tf1Rd5Es9Wa3Qz";
const EXPORTER: &str = "e1Zm5Xn9Cb3Vl7Kj0Hg4Fd8Sa2Pq6Ow";

fn sweep() -> Sweep {
    [
        ("the token", TOKEN),
        ("another token", OTHER_TOKEN),
        ("a wrong token", WRONG_TOKEN),
        ("a variable of a server", VARIABLE),
        ("an argument of a server", ARGUMENT),
        ("a header", HEADER),
        ("a body", BODY),
        ("a header of the exporter", EXPORTER),
    ]
    .into_iter()
    .fold(Sweep::default(), |sweep, (name, secret)| {
        sweep.secret(name, secret)
    })
}

fn gateway(collector: &Collector) -> Gateway {
    let server = |id: &str| {
        let server = Server::gremlin(id).env("KEY", VARIABLE);
        server.set("args", json!(["--key", ARGUMENT]))
    };
    Gateway::builder()
        .fault_profile()
        .set("auth_token", TOKEN)
        .set("tokens", json!([{"name": "other", "env": "OTHER"}]))
        .set("log", json!({"level": "trace", "format": "json"}))
        .env("OTHER", OTHER_TOKEN)
        .env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            &format!("http://{}", collector.authority()),
        )
        .env(
            "OTEL_EXPORTER_OTLP_HEADERS",
            &format!("authorization={EXPORTER}"),
        )
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .env(
            "HTTPS_PROXY",
            &format!("http://user:{EXPORTER}@127.0.0.1:9"),
        )
        .server(server("g1"))
        .server(server("shaky").orders(&json!({"fail_handshake": "error"})))
        .server(Server::new("missing", "/nonexistent/program", &[ARGUMENT]).env("KEY", VARIABLE))
        .start()
}

/// A request with a secret in every header that a client may put one into, and in its query; a refusal repeats
/// none of them.
async fn with_headers(client: &Client, method: Method, path: &str, body: String) -> u16 {
    let request = client
        .request(method, &format!("{path}?access_token={HEADER}"))
        .header("cookie", format!("session={HEADER}"))
        .header("user-agent", HEADER)
        .header("x-api-key", HEADER)
        .header("proxy-authorization", format!("Bearer {HEADER}"))
        .header("baggage", format!("key={HEADER}"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    let answer = client.send(request.body(body)).await;
    if answer.status >= 400 {
        let told = format!("{:?} {}", answer.headers, answer.text());
        let found = sweep().found_in(&told).join(", ");
        assert!(found.is_empty(), "{found} in {told}");
    }
    answer.status
}

fn call(arguments: &Value) -> String {
    tool_call(1, "gremlin", arguments).to_string()
}

/// What goes well.
async fn successes(client: &Client) {
    let echo = tool_call(1, "echo", &json!({"text": BODY})).to_string();
    let answered = with_headers(client, Method::POST, "/g1/rpc", echo.clone()).await;
    assert_eq!(answered, 200);
    let outside = with_headers(client, Method::POST, "/g1/mcp", echo).await;
    assert_eq!(outside, 400, "without a session");
    let session = Session::open(client, "/g1/mcp", "2025-11-25").await;
    let progress = json!({"do": "progress", "count": 2, "interval_ms": 10, "note": BODY});
    session.ask(&tool_call(1, "gremlin", &progress)).await;
    let said = modern(
        1,
        "tools/call",
        &json!({"name": "echo", "arguments": {"text": BODY}}),
    );
    assert_eq!(
        client
            .send(modern_post(client, "/g1/mcp", &said))
            .await
            .status,
        200
    );
    for deed in [
        json!({"do": "log", "level": "error", "text": BODY}),
        json!({"do": "updated", "uri": format!("test://{BODY}")}),
        json!({"do": "refuse", "code": -5, "message": BODY, "data": BODY}),
        json!({"do": "raw", "result": format!("{{\"content\":[],\"x\":\"{BODY}\"}}")}),
        json!({"do": "dup_reply", "say": BODY}),
        json!({"do": "write", "frame": format!("no message, but {BODY}")}),
        json!({"do": "write", "frame": format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{BODY}\",\"result\":{{}}}}")}),
        json!({"do": "write", "frame": format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{BODY}\",\"method\":\"x/{BODY}\"}}")}),
        json!({"do": "write", "frame": format!("{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/{BODY}\"}}")}),
    ] {
        assert_eq!(
            with_headers(client, Method::POST, "/g1/rpc", call(&deed)).await,
            200,
            "{deed}"
        );
    }
}

/// What is refused before it gets to a server.
async fn refusals(gateway: &Gateway, client: &Client) {
    let wrong = gateway.client_with(Some(WRONG_TOKEN));
    let echo = call(&json!({"do": "sleep", "ms": 1, "say": BODY}));
    assert_eq!(
        with_headers(&wrong, Method::POST, "/g1/rpc", echo.clone()).await,
        401
    );
    let nobody = gateway.client_with(None);
    assert_eq!(
        with_headers(&nobody, Method::GET, "/health", String::new()).await,
        401
    );
    let in_body = |text: &str| with_headers(client, Method::POST, "/g1/rpc", text.to_owned());
    assert_eq!(in_body(&format!("{{\"{BODY}")).await, 400);
    assert_eq!(
        in_body(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":[\"{BODY}\"],\"method\":\"x\"}}"
        ))
        .await,
        400
    );
    assert_eq!(in_body(&BODY.repeat(10_000)).await, 413);
    let wrapped = json!({"server_id": "none", "payload": {"x": BODY}}).to_string();
    assert_eq!(
        with_headers(client, Method::POST, "/rpc", wrapped).await,
        404
    );
    assert_eq!(
        with_headers(client, Method::PUT, "/g1/rpc", echo.clone()).await,
        405
    );
    assert_eq!(
        with_headers(client, Method::POST, "/none/rpc", echo).await,
        404
    );
}

/// What goes wrong on the way to a server and in it.
async fn failures(gateway: &Gateway, client: &Client) {
    let deed = |deed: Value| with_headers(client, Method::POST, "/g1/rpc", call(&deed));
    let bad = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":1,\"error\":\"{BODY}\"}}");
    assert_eq!(deed(json!({"do": "write", "frame": bad})).await, 200);
    assert_eq!(deed(json!({"do": "nothing", "note": BODY})).await, 504);
    assert_eq!(
        deed(json!({"do": "bigline", "bytes": 2_000_000, "id": "first", "note": BODY})).await,
        502
    );
    assert_eq!(
        deed(json!({"do": "signal", "signal": 9, "note": BODY})).await,
        502
    );
    for server in ["shaky", "missing"] {
        let path = format!("/{server}/rpc");
        let body = tool_call(1, "echo", &json!({"text": BODY})).to_string();
        assert_eq!(
            with_headers(client, Method::POST, &path, body).await,
            503,
            "{server}"
        );
    }
    wait_for("g1 after its crash", SOON, async || {
        let entry = gateway.client_with(Some(TOKEN)).status("g1").await;
        (entry["status"] == "ready").then_some(())
    })
    .await;
}

/// H114: through success, 401, 4xx, 5xx, a crash and a handshake that fails, no piece of a secret is in a log at
/// level trace, in spans, metrics, log records, errors, listings or, but for a server's own arguments, on a
/// command line.
#[tokio::test]
async fn no_piece_of_a_secret_shows_up_anywhere() {
    let collector = tokio::task::spawn_blocking(|| Collector::start(Mode::Normal));
    let collector = collector.await.unwrap();
    let gateway = gateway(&collector);
    let (client, other) = (
        gateway.client_with(Some(TOKEN)),
        gateway.client_with(Some(OTHER_TOKEN)),
    );
    successes(&client).await;
    successes(&other).await;
    refusals(&gateway, &client).await;
    failures(&gateway, &client).await;
    let mut places = Vec::new();
    for path in ["/servers", "/health", "/ready", "/metrics", "/none"] {
        places.push((path.to_owned(), client.get(path).await.text()));
    }
    for (path, token) in [("/servers", Some(WRONG_TOKEN)), ("/health", None)] {
        let refused = gateway.client_with(token).get(path).await;
        places.push((format!("a refusal at {path}"), format!("{refused:?}")));
    }
    for member in gateway.family() {
        let words = process::command_line(member.pid).replace(ARGUMENT, "");
        places.push((format!("the command line of {}", member.pid), words));
    }
    let (logs, output) = (gateway.logs().clone(), gateway.output().clone());
    assert_eq!(gateway.stop().await.code(), Some(0));
    let received = collector.wait_for(SOON, |received| {
        !received.spans.is_empty() && !received.metrics.is_empty() && !received.logs.is_empty()
    });
    places.push(("the spans".to_owned(), format!("{:?}", received.spans)));
    places.push(("the metrics".to_owned(), format!("{:?}", received.metrics)));
    places.push((
        "the exported logs".to_owned(),
        format!("{:?}", received.logs),
    ));
    places.push((
        "the resource".to_owned(),
        format!("{:?}", received.resource),
    ));
    places.push(("the log".to_owned(), logs.text()));
    places.push(("stdout".to_owned(), output.text()));
    let sweep = sweep();
    for (place, text) in &places {
        let found = sweep.found_in(text);
        assert!(found.is_empty(), "in {place}: {found:?}\n{text}");
    }
    let log = logs.text();
    assert!(
        log.contains("\"level\":\"trace\""),
        "the log was at level trace"
    );
}
