//! What the table promises, road by road; under any sequence of deeds in `model`, under threads in
//! `races`, in any order of their steps in `schedules`.

mod asked;
mod batches;
mod deadlines;
mod fairness;
mod model;
mod races;
pub(super) mod schedules;
mod turns;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, advance};

use super::{
    Answer, Frame, Load, MAX_CONTROL, Mux, Observer, Origin, Outcome, Owner, Progress, Submission,
};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::instruments::DropReason;
use crate::protocol::Span;
use crate::protocol::message::Ending;
use crate::supervisor::fixture;
use crate::supervisor::machine::Gate;
use crate::types::{Incarnation, PrincipalId};

const FIRST: Incarnation = Incarnation(1);
const SECOND: Incarnation = Incarnation(2);
const MS: Duration = Duration::from_millis(1);

/// The table of a server whose first life is under way.
fn mux(gate: Gate) -> Mux {
    let mux = Mux::new(fixture::config().requests, gate);
    mux.begin(FIRST);
    mux
}

fn origin(principal: u32, client_id: &str) -> Origin {
    Origin {
        principal: PrincipalId(principal),
        session: None,
        client_id: Bytes::copy_from_slice(client_id.as_bytes()),
    }
}

fn from(origin: Option<Origin>) -> Submission {
    Submission {
        origin,
        ..Submission::own()
    }
}

/// A client's notification.
fn notify(mux: &Mux) -> Result<(), Fault> {
    mux.notify(PrincipalId(1), Bytes::from_static(b"{}\n"), None)
}

fn frame_of(id: u64) -> Bytes {
    format!("{{\"id\":{id}}}\n").into()
}

fn answer_to(id: u64) -> Answer {
    let line = format!("{{\"id\":{id}}}");
    Answer {
        id: Span {
            start: 6,
            end: line.len() - 1,
        },
        line: line.into(),
        ending: Ending::Result,
    }
}

/// A client's request.
fn submit(mux: &Mux) -> Result<(u64, oneshot::Receiver<Outcome>), Fault> {
    let id = mux.mint();
    let submitted = mux.submit(id, frame_of(id), from(Some(origin(1, &id.to_string()))))?;
    Ok((id, submitted))
}

/// What can be written to this life now, booked as written.
fn take(mux: &Mux, incarnation: Incarnation) -> Vec<Frame> {
    let mut batch = Vec::new();
    mux.table().take_batch(incarnation, &mut batch);
    batch
}

fn ids(frames: &[Frame]) -> Vec<Option<u64>> {
    frames.iter().map(|frame| frame.id).collect()
}

fn texts(frames: &[Frame]) -> Vec<&str> {
    let text = |frame| std::str::from_utf8(frame).unwrap();
    frames.iter().map(|frame| text(&frame.bytes)).collect()
}

#[track_caller]
fn assert_fault(
    outcome: &mut oneshot::Receiver<Outcome>,
    kind: FaultKind,
    delivered: Delivered,
) -> Fault {
    let fault = outcome
        .try_recv()
        .expect("an outcome")
        .expect_err("a fault");
    assert_eq!((fault.kind, fault.delivered), (kind, Some(delivered)));
    fault
}

#[track_caller]
fn assert_empty(mux: &Mux) {
    assert_eq!(mux.load(), Load::default());
    assert!(mux.is_idle());
}

#[tokio::test]
async fn an_answer_reaches_its_own_request_once() {
    let mux = mux(Gate::Open);
    let (first, mut one) = submit(&mux).unwrap();
    let (second, mut two) = submit(&mux).unwrap();
    assert!(!mux.answer(first, Ok(answer_to(first))), "not written yet");
    assert_eq!(ids(&take(&mux, FIRST)), [Some(first), Some(second)]);
    assert_eq!(
        mux.load(),
        Load {
            in_flight: 2,
            queued: 0
        }
    );
    assert!(mux.answer(second, Ok(answer_to(second))));
    assert!(mux.answer(first, Ok(answer_to(first))));
    assert_eq!(one.try_recv(), Ok(Ok(answer_to(first))));
    assert_eq!(two.try_recv(), Ok(Ok(answer_to(second))));
    assert!(!mux.answer(first, Ok(answer_to(first))), "a second time");
    assert_eq!(mux.unexpected(first), DropReason::LateReply);
    assert_eq!(mux.unexpected(second + 1), DropReason::UnknownReply);
    assert_empty(&mux);
}

#[tokio::test]
async fn no_more_is_written_than_may_be_in_flight_and_no_more_waits_than_may() {
    let mux = mux(Gate::Open);
    // Four can be written at once, and eight may wait.
    let mut waiting: Vec<_> = (0..12).map(|_| submit(&mux).unwrap()).collect();
    let fault = submit(&mux).unwrap_err();
    assert_eq!(fault.kind, FaultKind::ServerBusy);
    assert_eq!(fault.delivered, Some(Delivered::No));
    assert!(fault.retry_after.is_some());
    assert_eq!(notify(&mux).unwrap_err().kind, FaultKind::ServerBusy);
    assert_eq!(take(&mux, FIRST).len(), 4);
    assert!(take(&mux, FIRST).is_empty());
    assert_eq!(
        mux.load(),
        Load {
            in_flight: 4,
            queued: 8
        }
    );
    let own = mux.mint();
    let _probe = mux.submit(own, frame_of(own), from(None)).unwrap();
    assert_eq!(
        ids(&take(&mux, FIRST)),
        [Some(own)],
        "our own pass the bound"
    );
    let (id, _) = waiting.remove(0);
    assert!(mux.answer(id, Ok(answer_to(id))));
    assert_eq!(take(&mux, FIRST).len(), 1);
}

#[tokio::test]
async fn frames_of_our_own_are_bounded_too() {
    let mux = mux(Gate::Stopped);
    for _ in 0..MAX_CONTROL {
        assert!(mux.control(Bytes::from_static(b"{}\n")));
    }
    assert!(!mux.control(Bytes::from_static(b"{}\n")));
}

#[tokio::test]
async fn a_closed_gate_refuses_at_once_and_clears_what_waits() {
    let refusing = [
        (Gate::Stopped, FaultKind::ServerStopped),
        (Gate::Failed, FaultKind::ServerFailed),
        (Gate::ShuttingDown, FaultKind::ShuttingDown),
    ];
    for (gate, kind) in refusing {
        let mux = mux(Gate::Open);
        let (written, mut under_way) = submit(&mux).unwrap();
        take(&mux, FIRST);
        let (_, mut waiting) = submit(&mux).unwrap();
        notify(&mux).unwrap();
        mux.set_gate(gate);
        assert_fault(&mut waiting, kind, Delivered::No);
        let fault = submit(&mux).unwrap_err();
        assert_eq!((fault.kind, fault.delivered), (kind, Some(Delivered::No)));
        assert_eq!(mux.knock().unwrap_err().kind, kind);
        assert!(under_way.try_recv().is_err(), "may still be answered");
        assert!(mux.answer(written, Ok(answer_to(written))));
        assert_empty(&mux);
    }
}

/// A stop decided while the writer was at work: what it puts back must not wait for a child that is
/// not coming.
#[tokio::test]
async fn what_is_put_back_behind_a_closed_gate_is_refused() {
    let mux = mux(Gate::Open);
    let (_, mut one) = submit(&mux).unwrap();
    let frames = take(&mux, FIRST);
    mux.set_gate(Gate::Stopped);
    mux.put_back(frames);
    assert_fault(&mut one, FaultKind::ServerStopped, Delivered::No);
    assert_empty(&mux);
}

#[tokio::test]
async fn a_lost_life_ends_what_was_written_to_it_and_nothing_else() {
    let mux = mux(Gate::Open);
    let (_, mut one) = submit(&mux).unwrap();
    let (_, mut two) = submit(&mux).unwrap();
    let mut frames = take(&mux, FIRST);
    // Of the second frame no byte was written.
    mux.put_back(frames.split_off(1));
    let (_, mut three) = submit(&mux).unwrap();
    mux.set_gate(Gate::Hold(1000 * MS));
    assert!(mux.lose(FIRST));
    assert_fault(&mut one, FaultKind::ServerLost, Delivered::Unknown);
    assert!(two.try_recv().is_err() && three.try_recv().is_err());
    mux.set_gate(Gate::Open);
    let next = take(&mux, SECOND);
    assert_eq!(ids(&next), [Some(2), Some(3)], "in their order");
    mux.begin(SECOND);
    assert!(!mux.lose(FIRST), "twice");
    assert_eq!(mux.load().in_flight, 2, "those of the second life stay");
    assert!(mux.answer(2, Ok(answer_to(2))) && mux.answer(3, Ok(answer_to(3))));
    assert!(two.try_recv().unwrap().is_ok() && three.try_recv().unwrap().is_ok());
    assert_empty(&mux);
}

#[tokio::test]
async fn frames_of_our_own_die_with_the_life_they_were_meant_for() {
    let mux = mux(Gate::Hold(1000 * MS));
    let id = mux.mint();
    let mut probe = mux.submit(id, frame_of(id), from(None)).unwrap();
    mux.control(Bytes::from_static(b"{}\n"));
    mux.lose(FIRST);
    assert_fault(&mut probe, FaultKind::ServerLost, Delivered::Unknown);
    assert!(take(&mux, SECOND).is_empty());
    assert_empty(&mux);
}

#[tokio::test]
async fn a_cancellation_is_told_to_the_child_only_where_it_was_asked() {
    let mux = mux(Gate::Open);
    let submit = |origin: &Origin| {
        let id = mux.mint();
        mux.submit(id, frame_of(id), from(Some(origin.clone())))
            .unwrap()
    };
    let (written, queued) = (origin(1, "7"), origin(1, "8"));
    let mut one = submit(&written);
    take(&mux, FIRST);
    let mut two = submit(&queued);
    for foreign in [origin(2, "7"), origin(1, "9"), origin(1, "\"7\"")] {
        assert!(!mux.cancel(&foreign, None), "{foreign:?}");
    }
    assert!(mux.cancel(&queued, None));
    assert_fault(&mut two, FaultKind::RequestCancelled, Delivered::No);
    assert!(take(&mux, FIRST).is_empty());
    assert!(mux.cancel(&written, Some("a \"reason\"\n")));
    assert_fault(&mut one, FaultKind::RequestCancelled, Delivered::Unknown);
    let told = take(&mux, FIRST);
    let expected = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"a \"reason\"\n"}}"#;
    assert_eq!(texts(&told), [format!("{expected}\n")]);
    assert!(!mux.cancel(&written, None), "twice");
    assert_empty(&mux);
}

#[tokio::test]
async fn an_id_that_a_client_uses_twice_cannot_be_cancelled() {
    let mux = mux(Gate::Open);
    for _ in 0..2 {
        let id = mux.mint();
        let _outcome = mux
            .submit(id, frame_of(id), from(Some(origin(1, "1"))))
            .unwrap();
    }
    assert!(!mux.cancel(&origin(1, "1"), None));
    assert_eq!(take(&mux, FIRST).len(), 2);
}

#[tokio::test]
async fn a_client_that_is_gone_frees_its_place() {
    let mux = mux(Gate::Open);
    let (written, _gone) = submit(&mux).unwrap();
    take(&mux, FIRST);
    let (queued, _gone) = submit(&mux).unwrap();
    mux.abandon(queued);
    mux.abandon(written);
    mux.abandon(written);
    let told = take(&mux, FIRST);
    assert_eq!(told.len(), 1);
    assert!(texts(&told)[0].contains("the client is gone"));
    assert_empty(&mux);
}

#[tokio::test]
async fn the_one_principal_under_way_is_known() {
    let mux = mux(Gate::Open);
    let submit = |principal| {
        let id = mux.mint();
        let outcome = mux.submit(id, frame_of(id), from(Some(origin(principal, "1"))));
        (id, outcome.unwrap())
    };
    let _one = submit(1);
    assert_eq!(mux.sole_principal(), None, "nothing written");
    take(&mux, FIRST);
    let _other = submit(2);
    assert_eq!(
        mux.sole_principal(),
        Some(PrincipalId(1)),
        "the other waits"
    );
    let _same = submit(1);
    take(&mux, FIRST);
    assert_eq!(mux.sole_principal(), None, "two are under way");
    mux.abandon(2);
    assert_eq!(mux.sole_principal(), Some(PrincipalId(1)));
}

#[tokio::test]
async fn a_request_wakes_a_server_that_sleeps_and_only_then() {
    let mux = mux(Gate::Asleep(1000 * MS));
    let id = mux.mint();
    let _own = mux.submit(id, frame_of(id), from(None)).unwrap();
    let woken = || async {
        tokio::time::timeout(Duration::ZERO, mux.demanded())
            .await
            .is_ok()
    };
    assert!(!woken().await, "our own requests wake nobody");
    let _outcome = submit(&mux).unwrap();
    assert!(woken().await);
    notify(&mux).unwrap();
    assert!(woken().await);
    assert_eq!(mux.knock(), Ok(1000 * MS));
    assert!(woken().await);
    assert!(!woken().await);
}
