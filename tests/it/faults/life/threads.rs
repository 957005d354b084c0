//! The threads of the gateway: a server's life hangs on none of them.

use super::*;

/// F34: the thread that started a server ends when it has had nothing to do for a while. A parent-death
/// signal would kill the server then.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_server_ends_with_the_thread_that_started_it() {
    /// A thread of the runtime's pool of blocking threads ends after 10 s without work.
    const RETIRED: Duration = Duration::from_secs(30);
    let gateway = fault_gateway(Server::gremlin("g1").autostart());
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let pids = [
        pid_of(&client, "control").await,
        pid_of(&client, "g1").await,
    ];
    let threads = || gateway.footprint().expect("the gateway runs").threads;
    let at_first = threads();
    wait_until("the end of a thread", RETIRED, || threads() < at_first).await;
    let fewest = wait_for("no more ends of threads", RETIRED, async || {
        let now = threads();
        tokio::time::sleep(Duration::from_millis(500)).await;
        (threads() == now).then_some(now)
    })
    .await;
    assert!(fewest < at_first);
    for (server_id, pid) in ["control", "g1"].into_iter().zip(pids) {
        assert!(process::is_alive(pid), "{server_id}");
        let status = client.status(server_id).await;
        assert_eq!(status["pid"], pid, "{status}");
        assert_eq!(status["incarnation"], 1, "{status}");
        echoes(&client, server_id, "still here").await;
    }
    oracle.holds(&gateway, "g1").await;
}
