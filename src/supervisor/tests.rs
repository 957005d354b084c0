//! Servers come and go while the supervisor runs. Nothing is started here: the servers sleep.

use std::time::Duration;

use super::*;
use crate::fault::FaultKind;
use crate::state_dir::StateDir;
use fixture::{Heard, config};

/// Far longer than anything here takes.
const SOON: Duration = Duration::from_secs(20);

fn supervisor() -> Supervisor {
    Supervisor::new(&Instruments::noop(), EraMemory::open(StateDir::in_memory()))
}

fn add(supervisor: &Supervisor) -> ServerHandle {
    supervisor.add(
        config(),
        Arc::new(Heard::default()),
        &Shard::here(),
        Vec::new(),
    )
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(SOON, future).await;
    done.expect("did not happen within 20 s")
}

fn refusal(server: &ServerHandle) -> Option<FaultKind> {
    server.mux().knock().err().map(|fault| fault.kind)
}

#[tokio::test]
async fn a_server_that_is_retired_leaves_nothing_behind_and_no_mark_on_others() {
    let supervisor = supervisor();
    let (kept, retired) = (add(&supervisor), add(&supervisor));
    assert_eq!(supervisor.servers(), [kept.clone(), retired.clone()]);
    soon(retired.retire("it is not needed")).await;
    assert_eq!(supervisor.servers(), std::slice::from_ref(&kept));
    assert_eq!(supervisor.tasks.len(), 1, "its actor is done");
    assert_eq!(refusal(&retired), Some(FaultKind::ShuttingDown));
    assert_eq!(refusal(&kept), None);
    // Whoever still holds a handle may do this twice, and hears that there is nobody to obey.
    soon(retired.retire("it is not needed")).await;
    let fault = soon(retired.start(true)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::ShuttingDown);
}

#[tokio::test]
async fn a_shutdown_is_for_every_present_server() {
    let supervisor = supervisor();
    let (first, second) = (add(&supervisor), add(&supervisor));
    soon(first.retire("it is not needed")).await;
    soon(supervisor.shutdown()).await;
    assert_eq!(refusal(&second), Some(FaultKind::ShuttingDown));
    assert_eq!(supervisor.servers(), []);
    assert!(supervisor.tasks.is_empty());
}

#[tokio::test]
async fn a_server_that_comes_after_the_shutdown_began_is_shut_down_from_its_first_moment() {
    let supervisor = supervisor();
    soon(supervisor.shutdown()).await;
    let stray = supervisor.add(
        Config {
            autostart: true,
            ..config()
        },
        Arc::new(Heard::default()),
        &Shard::here(),
        Vec::new(),
    );
    assert_eq!(refusal(&stray), Some(FaultKind::ShuttingDown));
    let fault = soon(stray.wait_for_handshake()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::ShuttingDown);
    assert!(stray.status().has_ended());
    assert_eq!(supervisor.servers(), []);
    assert!(supervisor.tasks.is_empty());
    soon(stray.retire("it is not needed")).await;
    soon(supervisor.shutdown()).await;
}

#[tokio::test]
async fn a_server_is_measured_until_its_actor_is_done() {
    let supervisor = supervisor();
    let server = add(&supervisor);
    let seen = server.0.seen().unwrap();
    assert_eq!((seen.state, seen.in_flight, seen.queued), ("stopped", 0, 0));
    soon(server.retire("it is not needed")).await;
    assert_eq!(server.0.seen(), None);
}
