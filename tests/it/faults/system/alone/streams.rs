//! Event streams: one that is not read, and very many.

use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use super::super::*;
use crate::alone::{echoed, ready_in};
use crate::support::oracle::Oracle;
use crate::support::socket::RawSocket;
use crate::support::{Gateway, Server};

const NOTIFICATIONS: u32 = 100_000;
/// For all of them, in a build without optimisation.
const LONG: Duration = Duration::from_mins(1);

/// F54: who does not read loses its stream at the cap of its queue; who reads is sent everything.
#[tokio::test]
async fn a_stream_that_is_not_read_is_closed_and_the_others_miss_nothing() {
    let server = Server::gremlin("g1").set("request_timeout_ms", 60_000);
    let gateway = Gateway::builder()
        .fault_profile()
        // Not for this: a write that waits longer ends the whole connection.
        .limit("body_ms", 120_000)
        .server(Server::control())
        .server(server)
        .start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let mut stuck = listening(&gateway, Some(4096)).await;
    let mut readers = [
        listening(&gateway, None).await,
        listening(&gateway, None).await,
    ];

    let text = "t".repeat(200);
    let logs = json!({"do": "logs", "count": NOTIFICATIONS, "text": text});
    let emit = async { assert_eq!(echoed(&client.deed("g1", &logs).await), "logged") };
    let last = format!("{NOTIFICATIONS} ttt");
    let read = join_all(readers.iter_mut().map(|reader| reader.until(&last, LONG)));
    let ((), heard) = tokio::join!(emit, read);
    for heard in heard {
        assert_eq!(numbers(&heard), (1..=NOTIFICATIONS).collect::<Vec<_>>());
    }

    // The end of a body in chunks: what was taken for it is sent, then it is over.
    let heard = numbers(&stuck.until("\r\n0\r\n\r\n", SOON).await);
    let cut_off = u32::try_from(heard.len()).unwrap();
    assert!(cut_off < NOTIFICATIONS, "was sent everything");
    assert_eq!(
        heard,
        (1..=cut_off).collect::<Vec<_>>(),
        "what it was sent has no gap"
    );
    drop((stuck, readers));
    oracle.holds(&gateway, "g1").await;
}

/// An open stream of `g1`'s notifications.
async fn listening(gateway: &Gateway, receive_buffer: Option<u32>) -> RawSocket {
    let mut stream = match receive_buffer {
        Some(size) => RawSocket::connect_narrow(gateway.address(), size).await,
        None => RawSocket::connect(gateway.address()).await,
    };
    stream.send(listen_in_bytes("/g1/rpc")).await;
    assert_eq!(stream.head(SOON).await.expect("an answer").status, 200);
    stream.until(": ok\n\n", SOON).await;
    stream
}

/// The numbers that the log messages on a stream begin with.
fn numbers(heard: &str) -> Vec<u32> {
    let messages = heard.split("\"data\":\"").skip(1);
    let numbers = messages.filter_map(|message| message.split_once(' ')?.0.parse().ok());
    numbers.collect()
}

const STREAMS: usize = 1000;
const LISTS: [&str; 3] = ["tools", "prompts", "resources"];

/// F55: all stay, and each is told once to look at the lists again.
#[tokio::test]
async fn a_thousand_streams_outlive_the_process_and_are_told_once() {
    allow_descriptors(4 * STREAMS as u64);
    let gateway = Gateway::builder()
        .fault_profile()
        .limit("max_connections", 2 * STREAMS)
        .limit("max_connections_per_ip", 2 * STREAMS)
        .limit("max_streams_per_token", 2 * STREAMS)
        .limit("max_sessions_per_token", 2 * STREAMS)
        .server(Server::control())
        .server(Server::gremlin("g1"))
        .start();
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        streams.push(listening(&gateway, None).await);
    }
    let restarted = client
        .send(client.request(reqwest::Method::POST, "/servers/g1/restart"))
        .await;
    assert_eq!(restarted.status, 202, "{}", restarted.text());
    ready_in(&client, "g1", 2).await;
    // The marker comes after what the new life had to say.
    client
        .deed("g1", &json!({"do": "updated", "uri": "none"}))
        .await;
    let marker = json!({"do": "log", "level": "info", "text": "the marker"});
    assert_eq!(echoed(&client.deed("g1", &marker).await), "logged");
    for stream in &mut streams {
        let heard = stream.until("the marker", SOON).await;
        for list in LISTS {
            let method = format!("notifications/{list}/list_changed");
            assert_eq!(heard.matches(&method).count(), 1, "{list}: {heard}");
        }
    }
    drop(streams);
    wait_for("the end of their connections", SOON, async || {
        let open = metric(&client, "host_mcp_gateway_connections").await;
        (open < 10.0).then_some(())
    })
    .await;
    oracle.holds(&gateway, "g1").await;
}

/// Raises what this process may have open, and with it what the gateway may that it starts.
fn allow_descriptors(wanted: u64) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    assert!(
        maximum.is_none_or(|maximum| maximum >= wanted),
        "this test needs a hard limit of {wanted} open files, there is one of {maximum:?}"
    );
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(wanted),
            maximum,
        },
    )
    .unwrap();
}
