//! The threads of the gateway: a server's life hangs on none of them.

#![cfg(target_os = "linux")]

use super::*;

/// F34: the thread that started a server ends as soon as it has. A parent-death signal would kill the
/// server then.
#[tokio::test]
async fn no_server_ends_with_the_thread_that_started_it() {
    let gateway = fault_gateway(Server::gremlin("g1").autostart());
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let pids = [
        pid_of(&client, "control").await,
        pid_of(&client, "g1").await,
    ];
    let tasks = format!("/proc/{}/task", gateway.pid());
    wait_until("the end of the threads that start servers", SOON, || {
        let entries = std::fs::read_dir(&tasks)
            .expect("the gateway runs")
            .flatten();
        let mut names = entries.flat_map(|task| std::fs::read_to_string(task.path().join("comm")));
        names.all(|name| name.trim_end() != "spawn")
    })
    .await;
    for (server_id, pid) in ["control", "g1"].into_iter().zip(pids) {
        assert!(process::is_alive(pid), "{server_id}");
        let status = client.status(server_id).await;
        assert_eq!(status["pid"], pid, "{status}");
        assert_eq!(status["incarnation"], 1, "{status}");
        echoes(&client, server_id, "still here").await;
    }
    oracle.holds(&gateway, "g1").await;
}
