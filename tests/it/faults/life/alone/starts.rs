//! Many servers that start at the same time.

use std::collections::{BTreeMap, HashMap};

use futures_util::future::join_all;

use super::*;

const SERVERS: usize = 200;
/// All of them, in a debug build, on two cores that have other work too.
const UP: Duration = Duration::from_secs(50);

fn id_of(number: usize) -> String {
    format!("g{number}")
}

/// F36: two hundred servers are started at once and all become ready, and none has a descriptor of
/// another: the end of one is the end of that one. How many are started at the same time is proven
/// where it is decided, in `supervisor::child`.
#[tokio::test]
async fn two_hundred_servers_start_at_once_and_share_nothing() {
    let mut builder = Gateway::builder()
        .for_each_server("startup_timeout_ms", 60_000)
        .for_each_server("stop_grace_ms", 10_000)
        .limit("max_in_flight_per_token", SERVERS)
        .server(Server::control());
    for number in 0..SERVERS {
        builder = builder.server(Server::gremlin(&id_of(number)).autostart());
    }
    let gateway = builder.start();
    let client = gateway.client();
    wait_for("two hundred ready servers", UP, async || {
        let servers = client.get("/servers").await.json();
        let servers = servers["servers"].as_array().unwrap().clone();
        let ready = |server: &&Value| server["status"] == "ready" && server["incarnation"] == 1;
        (servers.iter().filter(ready).count() == SERVERS + 1).then_some(())
    })
    .await;
    let listed = join_all((0..SERVERS).map(|number| {
        let client = client.clone();
        async move {
            let answer = client
                .deed(&id_of(number), &json!({"do": "list_fds"}))
                .await;
            let open: BTreeMap<u32, String> = serde_json::from_str(&echoed(&answer)).unwrap();
            open
        }
    }))
    .await;
    let mut owners: HashMap<&String, usize> = HashMap::new();
    for (number, open) in listed.iter().enumerate() {
        assert!(open.keys().eq([0, 1, 2].iter()), "g{number}: {open:?}");
        // Elsewhere the system does not tell what a descriptor is.
        for pipe in open.values().filter(|_| cfg!(target_os = "linux")) {
            assert!(pipe.starts_with("pipe:"), "g{number}: {open:?}");
            let other = owners.insert(pipe, number);
            assert_eq!(other, None, "{pipe} is of g{number} too");
        }
    }
    // A gremlin ends when its stdin does: whoever else held the other end of it would keep it alive.
    let ended: Vec<usize> = (0..SERVERS).step_by(10).collect();
    join_all(ended.iter().map(|number| {
        let client = client.clone();
        async move { ordered(&client, &id_of(*number), "stop").await }
    }))
    .await;
    for number in 0..SERVERS {
        let status = client.status(&id_of(number)).await;
        if ended.contains(&number) {
            assert_eq!(status["last_exit_code"], 0, "by the end of stdin: {status}");
            assert_eq!(status["status"], "stopped", "{status}");
        } else {
            assert_eq!(status["status"], "ready", "{status}");
            assert_eq!(status["incarnation"], 1, "{status}");
        }
    }
    assert_eq!(gateway.stop().await.code(), Some(0));
}
