//! One bad server among several: it is shown as it last was or left out, is named, and costs the others nothing.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Asker, NEWEST, SOON, text};
use crate::support::client::Client;
use crate::support::mcp::Session;
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server, process};

const GOOD: [&str; 3] = ["good__echo", "good__fidelity", "good__gremlin"];

/// What `/servers` says of a server's lists.
async fn gaps(client: &Client, server_id: &str) -> Value {
    client.status(server_id).await["list_gaps"].clone()
}

async fn legacy(client: &Client) -> Asker {
    Asker::Legacy(Session::open(client, "/mcp", NEWEST).await)
}

#[tokio::test]
async fn a_server_that_cannot_start_is_left_out_and_named() {
    let gateway = Gateway::builder()
        .limit("hold_ms", 300)
        .server(Server::gremlin("bad").orders(&json!({"exit": 3})))
        .server(Server::gremlin("good"))
        .start();
    let client = gateway.client();
    let asker = legacy(&client).await;
    assert_eq!(asker.tools().await, GOOD);
    let gap = gaps(&client, "bad").await;
    assert_eq!(
        (&gap[0]["list"], &gap[0]["shown"]),
        (&json!("tools/list"), &json!("nothing"))
    );
    assert!(!text(&gap[0]["reason"]).is_empty(), "{gap}");
    assert_eq!(gaps(&client, "good").await, json!([]));
    assert_eq!(asker.tools().await, GOOD);
    let told = gateway.logs().events("the server's list is left out");
    assert_eq!(told.len(), 1, "once, not with each list: {told:?}");
    assert_eq!(
        (&told[0]["server_id"], &told[0]["list"]),
        (&json!("bad"), &json!("tools/list"))
    );
}

#[tokio::test]
async fn a_server_that_is_lost_is_shown_as_it_last_was_and_clients_are_told_when_it_is_back() {
    let gateway = Gateway::builder()
        .set("restart_backoff_ms", 1000)
        .server(Server::gremlin("bad").autostart())
        .server(Server::gremlin("good").autostart())
        .start();
    let client = gateway.client();
    let session = Session::open(&client, "/mcp", NEWEST).await;
    let asker = Asker::Legacy(session.clone());
    let all = asker.tools().await;
    assert_eq!(all.len(), 6, "{all:?}");
    let mut own = session.listen().await;
    assert_eq!(own.event(SOON).await.data.as_deref(), Some(""));
    client.deed("bad", &json!({"do": "exit", "code": 1})).await;
    assert_eq!(asker.tools().await, all);
    let gap = gaps(&client, "bad").await;
    assert_eq!(gap[0]["shown"], "last_known", "{gap}");
    let told = own.message(SOON).await;
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
    wait_for("the gap to be closed", SOON, async || {
        assert_eq!(asker.tools().await, all);
        (gaps(&client, "bad").await == json!([])).then_some(())
    })
    .await;
    gateway
        .logs()
        .event("the server's list is shown again", SOON)
        .await;
}

#[tokio::test]
async fn clients_are_told_when_a_slow_server_is_ready_for_the_first_time() {
    let gateway = Gateway::builder()
        .limit("hold_ms", 200)
        .server(Server::gremlin("slow").orders(&json!({"slow_start_ms": 1500})))
        .server(Server::gremlin("good"))
        .start();
    let session = Session::open(&gateway.client(), "/mcp", NEWEST).await;
    let asker = Asker::Legacy(session.clone());
    let mut own = session.listen().await;
    assert_eq!(own.event(SOON).await.data.as_deref(), Some(""));
    assert_eq!(asker.tools().await, GOOD);
    let told = own.message(SOON).await;
    assert_eq!(told["method"], "notifications/tools/list_changed", "{told}");
    assert_eq!(asker.tools().await.len(), 6);
}

#[tokio::test]
async fn a_server_that_hangs_delays_one_list_once() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("bad").autostart())
        .server(Server::gremlin("good").autostart())
        .start();
    let client = gateway.client();
    let asker = legacy(&client).await;
    let all = asker.tools().await;
    let pid = client.status("bad").await["pid"].as_u64().unwrap();
    let pid = u32::try_from(pid).unwrap();
    process::signal(pid, Signal::STOP);
    assert_eq!(asker.tools().await, all);
    let again = tokio::time::timeout(std::time::Duration::from_millis(500), asker.tools()).await;
    assert_eq!(again.expect("a list without a wait"), all);
    assert_eq!(gaps(&client, "bad").await[0]["shown"], "last_known");
    process::signal(pid, Signal::CONT);
    wait_for("the gap to be closed", SOON, async || {
        asker.tools().await;
        (gaps(&client, "bad").await == json!([])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_server_that_was_stopped_has_no_tools() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("bad").autostart())
        .server(Server::gremlin("good").autostart())
        .server(Server::gremlin("off").set("disabled", true))
        .start();
    let client = gateway.client();
    let asker = legacy(&client).await;
    assert_eq!(asker.tools().await.len(), 6);
    assert_eq!(gaps(&client, "off").await, json!([]), "nobody expects it");
    client.post("/servers/bad/stop?wait", "").await;
    assert_eq!(asker.tools().await, GOOD);
}
