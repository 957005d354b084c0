//! Servers that want everything for themselves (H100, H103, H107).

use tokio::net::TcpListener;
use tokio::time::Instant;

use super::*;
use crate::support::oracle::Oracle;

/// A gateway with the healthy neighbour and a gremlin.
fn beside_control(server: Server) -> Gateway {
    Gateway::builder()
        .set("log", json!({"level": "info", "format": "json"}))
        .server(Server::control())
        .server(server)
        .start()
}

/// Asks the neighbour again and again while something is done; gives the longest that it took.
async fn beside<T>(gateway: &Gateway, what: impl Future<Output = T>) -> (T, Duration) {
    let mut longest = Duration::ZERO;
    let client = gateway.client();
    let text = json!({"text": "here"});
    let mut what = std::pin::pin!(what);
    loop {
        let asked = Instant::now();
        let control = client.call("control", "echo", &text);
        let answer = tokio::select! {
            done = &mut what => return (done, longest),
            answer = control => answer,
        };
        assert_eq!(text_of(&answer.json()), "here");
        longest = longest.max(asked.elapsed());
    }
}

/// How long the neighbour may take on a machine that is as busy as these tests make it.
const AT_MOST: Duration = Duration::from_secs(1);

/// H100: a server that asks and asks is refused as often as it reads, what it does not read is dropped, and
/// nothing of it is kept or delays anybody.
#[tokio::test]
async fn requests_without_end_are_refused_or_dropped() {
    const REQUESTS: u64 = 50_000;
    // One that does not read for `stdin_stall_ms` would be started again, which bounds it too.
    let server = Server::gremlin("s1").set("limits", json!({"stdin_stall_ms": 60_000}));
    let gateway = beside_control(server.set("request_timeout_ms", 60_000));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "s1"]).await;
    let frame = r#"{"jsonrpc":"2.0","id":@N@,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}"#;
    let flood = json!({"do": "write", "frame": frame, "times": REQUESTS});
    let (answer, longest) = beside(&gateway, client.deed("s1", &flood)).await;
    assert_eq!(text_of(&answer.json()), "written");
    assert!(longest < AT_MOST, "control took {longest:?}");
    // It did not read while it wrote: more than wait for it are dropped.
    let unread = dropped(&client, "unread_request").await;
    assert!(unread > 0, "all {REQUESTS} were kept");
    wait_for(
        "the refusals of the others",
        Duration::from_secs(30),
        async || {
            let refused = gateway.journal("s1").count("-32601");
            (refused as u64 + unread >= REQUESTS).then_some(())
        },
    )
    .await;
    is_well(&client).await;
    oracle.holds(&gateway, "s1").await;
}

/// H103: a list of a hundred thousand tools crosses as it is, and nothing that a schema refers to is fetched.
#[tokio::test]
async fn a_huge_list_crosses_and_no_reference_is_followed() {
    const TOOLS: usize = 100_000;
    let bait = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/latest/meta-data/", bait.local_addr().unwrap());
    let server = |id: &str, tools: usize| {
        let orders = json!({"more_tools": tools, "schema_ref": url});
        Server::gremlin(id)
            .orders(&orders)
            .set("request_timeout_ms", 60_000)
    };
    let gateway = Gateway::builder()
        .server(Server::control())
        .server(server("s1", TOOLS))
        .server(server("few", 1000))
        .start();
    let client = gateway.client();
    let list = mcp::request(1, "tools/list", &json!({}));
    let (listed, longest) = beside(&gateway, client.rpc("s1", &list)).await;
    assert_eq!(listed.status, 200, "{:.200}", listed.text());
    assert!(longest < AT_MOST * 2, "control took {longest:?}");
    assert!(
        listed.body.len() > 10_000_000,
        "{} bytes",
        listed.body.len()
    );
    let last = format!(r#""tool-{}""#, TOOLS - 1);
    assert!(listed.text().contains(&last));
    // Where the gateway reads a list itself: for headers of tools, and for the list of all servers.
    let call = modern_call("echo", &json!({"text": "hi"}), &json!({}));
    let called = client.send(modern_post(&client, "/few/mcp", &call)).await;
    assert_eq!(text_of(&called.json()), "hi");
    let all = Session::open(&client, "/mcp", REVISION).await;
    let listed = all.ask(&list).await;
    let listed = listed["result"]["tools"].as_array().map_or(0, Vec::len);
    assert!(listed >= 1003, "{listed} tools");
    let followed = tokio::time::timeout(Duration::from_millis(300), bait.accept()).await;
    assert!(followed.is_err(), "somebody fetched a schema");
}

/// H107: a server that uses every processor costs the others their share of time, as the system deals it
/// out, and no more. (Limits on what servers may use are the service manager's.)
#[tokio::test]
async fn a_server_that_keeps_all_processors_busy_delays_the_others_little() {
    let gateway = beside_control(Server::gremlin("s1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "s1"]).await;
    let cores = std::thread::available_parallelism().unwrap().get();
    let spin = json!({"do": "spin", "threads": 4 * cores, "ms": 3000});
    let answer = client.deed("s1", &spin).await;
    assert_eq!(text_of(&answer.json()), "busy");
    let ((), longest) = beside(&gateway, tokio::time::sleep(Duration::from_millis(2500))).await;
    assert!(longest < AT_MOST, "control took {longest:?}");
    is_well(&client).await;
    oracle.holds(&gateway, "s1").await;
}

/// H107: one that writes without end, to stdout or stderr, fills nothing and delays nobody.
#[tokio::test]
async fn a_server_that_writes_without_end_fills_nothing() {
    const TIMES: u64 = 50_000;
    let gateway = beside_control(Server::gremlin("s1").set("request_timeout_ms", 60_000));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "s1"]).await;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/invented","params":{"n":@N@,"x":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"}}"#;
    let stdout = json!({"do": "write", "frame": note, "times": TIMES});
    let stderr = json!({"do": "stderr", "bytes": 32 * 1024 * 1024});
    for flood in [stdout, stderr] {
        let (answer, longest) = beside(&gateway, client.deed("s1", &flood)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(
            longest < AT_MOST,
            "control took {longest:?} beside {flood:.60}"
        );
    }
    assert_eq!(dropped(&client, "unattributed").await, TIMES);
    let logged = gateway.logs().text().len();
    assert!(logged < 1024 * 1024, "{logged} bytes logged");
    is_well(&client).await;
    oracle.holds(&gateway, "s1").await;
}
