//! What a former life of a server left behind, and what it still has to say.

use rustix::process::Signal;

use super::*;

/// F48: who inherits the stdout of a dead server, and answers in its name once the next one is ready,
/// is heard by nobody.
#[tokio::test]
async fn an_answer_of_a_former_life_reaches_nobody() {
    let gateway = fault_gateway(Server::gremlin("g1"));
    let client = gateway.client();
    let oracle = Oracle::before(&gateway, &["control", "g1"]).await;
    let first = pid_of(&client, "g1").await;
    // It begins to answer when its parent is dead and what that had written was read.
    let bequeath = json!({"do": "bequeath", "setsid": true, "ignore_term": true});
    let kill = async {
        let heir = wait_for("the heir", SOON, async || {
            process::descendants(first)
                .pop()
                .filter(|heir| heir.group == heir.pid)
        })
        .await;
        process::signal(first, Signal::KILL);
        heir.pid
    };
    let (left, heir) = tokio::join!(deeds_at_once(&gateway, "g1", &bequeath, "left", 1), kill);
    assert_eq!(fault_of(&left[0]), server_lost());
    ready_in(&client, "g1", 2).await;
    // Where descendants can be found, they end with their life, before the next begins. Elsewhere this one may end when it
    // writes to the pipe that nobody reads any more.
    if process::finds_descendants() {
        assert!(!process::is_alive(heir));
    }
    // The heir answers every 250 ms: these stay open for it to answer them.
    let sleep = json!({"do": "sleep", "ms": 600, "say": "own"});
    for answer in deeds_at_once(&gateway, "g1", &sleep, "open", 5).await {
        assert_eq!(echoed(&answer), "own");
    }
    process::signal(heir, Signal::KILL);
    assert_eq!(client.status("g1").await["incarnation"], 2);
    oracle.gone(&gateway, &[first, heir]).await;
    oracle.holds(&gateway, "g1").await;
}
