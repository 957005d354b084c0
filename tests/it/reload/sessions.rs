//! What a reload means to sessions and to the processes that are kept for clients.

use serde_json::json;

use super::{SOON, entry, pid, put_beside, reload};
use crate::alone::{echoes, journal_has};
use crate::support::client::Client;
use crate::support::mcp::{Session, initialize, post};
use crate::support::wait::wait_for;
use crate::support::{Gateway, Server};

const REVISION: &str = "2025-11-25";

/// Waits until a server has this many processes for clients.
async fn processes(client: &Client, server_id: &str, count: usize) {
    wait_for(
        &format!("{count} processes of {server_id}"),
        SOON,
        async || {
            let status = client.status(server_id).await;
            let instances = status["instances"].as_array().expect("instances");
            (instances.len() == count).then_some(())
        },
    )
    .await;
}

/// RC10: a process that nobody uses is kept for the time of the config in force, however long that was before.
#[tokio::test]
async fn a_shorter_instance_idle_is_in_force_after_a_reload() {
    let gateway = Gateway::builder()
        .limit("instance_idle_ms", 600_000)
        .server(Server::gremlin("g1").set("instance", "client"))
        .start();
    let client = gateway.client();
    echoes(&client, "g1", "up").await;
    processes(&client, "g1", 1).await;
    reload(&gateway, |config| {
        config["limits"]["instance_idle_ms"] = 200.into();
    })
    .await;
    processes(&client, "g1", 0).await;
}

/// RC10: a session on all servers that its client gives up before it is open leaves no process.
#[tokio::test]
async fn the_processes_of_a_session_that_was_given_up_are_ended() {
    let server = Server::gremlin("g1").orders(&json!({"slow_start_ms": 60_000}));
    let gateway = Gateway::builder()
        .server(server.set("instance", "session"))
        .start();
    let client = gateway.client();
    let leaving = gateway.client();
    tokio::select! {
        _ = leaving.send(post(&leaving, "/mcp", &initialize(REVISION))) => panic!("answered before it was left"),
        () = processes(&client, "g1", 1) => {}
    }
    drop(leaving);
    processes(&client, "g1", 0).await;
}

/// RC10: a session that is opened while a reload brings another server hears of that server.
#[tokio::test]
async fn a_session_that_is_opened_during_a_reload_hears_of_the_new_server() {
    let gateway = Gateway::builder()
        .server(Server::gremlin("slow").orders(&json!({"slow_start_ms": 2000})))
        .server(Server::gremlin("there").autostart())
        .start();
    pid(&gateway, "there").await;
    let client = gateway.client();
    let reloaded = async {
        journal_has(&gateway, "slow", "\"initialize\"", 1).await;
        reload(&gateway, |config| {
            put_beside(config, "there", "joined");
            entry(config, "joined")["autostart"] = true.into();
        })
        .await;
    };
    let (session, ()) = tokio::join!(Session::open(&client, "/mcp", REVISION), reloaded);
    let mut own = session.listen().await;
    wait_for("the news of the new server", SOON, async || {
        let event = own.event(SOON).await;
        event.data?.contains("tools/list_changed").then_some(())
    })
    .await;
}
