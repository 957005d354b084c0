//! What the actor adds to the machine: which silence counts as a missed probe, and which lateness as late.

use bytes::Bytes;
use tokio::time::advance;

use super::*;
use crate::instruments::Instruments;
use crate::state_dir::StateDir;
use crate::supervisor::child::Spawner;
use crate::supervisor::eras::EraMemory;
use crate::supervisor::fixture::{self, Heard};
use crate::supervisor::machine::Gate;
use crate::supervisor::mux::{Mux, Origin, Outcome, Submission};
use crate::supervisor::stderr::StderrRing;
use crate::types::PrincipalId;

const MS: Duration = Duration::from_millis(1);

/// The actor of a server that is ready, and that nothing runs.
fn ready() -> Actor {
    let config = Arc::new(fixture::config());
    let mut machine = Machine::new(&config, 7);
    machine.step(Event::Start, Instant::now());
    machine.step(Event::Ready, Instant::now());
    let instruments = Instruments::noop().for_server(&config.id);
    let shared = Shared {
        mux: Arc::new(Mux::new(config.requests, Gate::Open)),
        config,
        listener: Arc::new(Heard::default()),
        stderr: Arc::new(StderrRing::new()),
        stdout: Arc::default(),
        spawner: Spawner::new(),
        eras: EraMemory::open(StateDir::in_memory()),
        era_wish: Arc::default(),
    };
    let (_, orders) = mpsc::channel(1);
    Actor::new(
        shared,
        instruments,
        machine,
        orders,
        CancellationToken::new(),
        Vec::new(),
    )
    .0
}

fn submit(actor: &Actor) -> (u64, oneshot::Receiver<Outcome>) {
    let mux = &actor.shared.mux;
    let id = mux.mint();
    let origin = Origin {
        principal: PrincipalId(1),
        session: None,
        client_id: Bytes::from_static(b"1"),
    };
    let submission = Submission {
        origin: Some(origin),
        ..Submission::own()
    };
    let outcome = mux.submit(id, Bytes::from_static(b"{}\n"), submission);
    (id, outcome.unwrap())
}

fn word(actor: &Actor) -> &'static str {
    state_word(actor.machine.state())
}

/// F50: a server with one thread answers no probe while it is at work.
#[tokio::test(start_paused = true)]
async fn silence_while_a_request_is_under_way_is_no_miss() {
    let mut actor = ready();
    advance(500 * MS).await;
    actor.start_probe(Instant::now());
    assert!(actor.probe.is_some(), "an idle server is asked");
    let (_, _outcome) = submit(&actor);
    let life = actor.machine.incarnation();
    actor.shared.mux.next_batch(life, &mut Vec::new()).await;
    actor.probed(false);
    assert_eq!(word(&actor), "ready");
    advance(500 * MS).await;
    actor.start_probe(Instant::now());
    assert!(actor.probe.is_none(), "a server at work is not asked");
}

/// F51: the same silence of an idle server is counted, and the third time ends it.
#[tokio::test(start_paused = true)]
async fn silence_of_an_idle_server_is_a_miss() {
    let mut actor = ready();
    let stop = actor.ends.stop.clone();
    for expected in ["unhealthy", "unhealthy", "stopping"] {
        assert!(!stop.is_cancelled());
        advance(500 * MS).await;
        actor.start_probe(Instant::now());
        assert!(actor.probe.is_some());
        actor.probed(false);
        assert_eq!(word(&actor), expected);
        assert_eq!(actor.status.borrow().state.as_str(), expected);
    }
    assert!(stop.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn anything_heard_since_the_probe_proves_life() {
    let mut actor = ready();
    advance(500 * MS).await;
    actor.start_probe(Instant::now());
    actor.probed(false);
    assert_eq!(word(&actor), "unhealthy");
    advance(500 * MS).await;
    actor.start_probe(Instant::now());
    advance(MS).await;
    // An answer that nobody waits for is a sign of life too.
    assert!(
        !actor
            .shared
            .mux
            .answer(99, Err(crate::supervisor::faults::lost()))
    );
    actor.probed(false);
    assert_eq!(word(&actor), "ready");
}

/// F62: the time that the whole gateway slept is counted against nobody.
#[tokio::test(start_paused = true)]
async fn a_long_sleep_of_the_gateway_makes_nothing_late() {
    let mut actor = ready();
    let (_, mut outcome) = submit(&actor);
    let life = actor.machine.incarnation();
    actor.shared.mux.next_batch(life, &mut Vec::new()).await;
    advance(500 * MS).await;
    let due = Instant::now() + 50 * MS;
    advance(10_050 * MS).await;
    actor.forgive_sleep(due);
    actor.timers();
    assert_eq!(word(&actor), "ready");
    assert_eq!(actor.next_probe, Instant::now() + 500 * MS);
    // What is left of its 2 s is left, whatever ends the turns.
    advance(1449 * MS).await;
    actor.forgive_sleep(Instant::now());
    actor.timers();
    assert!(outcome.try_recv().is_err(), "not yet");
    advance(MS).await;
    actor.timers();
    assert!(outcome.try_recv().is_ok());
}

/// F62: a machine that is slow is not one that slept.
#[tokio::test(start_paused = true)]
async fn a_turn_that_is_a_little_late_forgives_nothing() {
    let mut actor = ready();
    let (_, mut outcome) = submit(&actor);
    let life = actor.machine.incarnation();
    actor.shared.mux.next_batch(life, &mut Vec::new()).await;
    let due = Instant::now() + 1000 * MS;
    advance(2000 * MS).await;
    actor.forgive_sleep(due);
    actor.timers();
    assert!(outcome.try_recv().is_ok());
}
