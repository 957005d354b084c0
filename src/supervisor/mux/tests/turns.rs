//! Requests of which one at a time may be at the server, and what is told of a request that leaves the table.

use std::sync::Mutex;

use super::*;
use crate::supervisor::mux::{RequestEnd, RequestRecord};

fn exclusive(mux: &Mux, principal: u32) -> (u64, oneshot::Receiver<Outcome>) {
    let id = mux.mint();
    let submission = Submission {
        exclusive: true,
        ..from(Some(origin(principal, &id.to_string())))
    };
    (id, mux.submit(id, frame_of(id), submission).unwrap())
}

/// RA06: the turn goes with the entry: it is free when that leaves the table, by whichever road, and not before.
#[tokio::test]
async fn a_turn_ends_with_the_request_that_has_it() {
    let roads: [fn(&Mux, u64); 4] = [
        |mux, id| assert!(mux.answer(id, Ok(answer_to(id)))),
        |mux, id| mux.abandon(id),
        |mux, _| assert!(mux.lose(FIRST)),
        |mux, _| assert_eq!(mux.expire(Instant::now() + 3000 * MS, None), 1),
    ];
    for road in roads {
        let mux = mux(Gate::Open);
        let (first, outcome) = exclusive(&mux, 1);
        // Its client is gone, and the server works on it.
        drop(outcome);
        assert_eq!(ids(&take(&mux, FIRST)), [Some(first)]);
        let later = mux.mint();
        let _other = mux.submit(later, frame_of(later), from(Some(origin(1, "o"))));
        assert_eq!(
            ids(&take(&mux, FIRST)),
            [Some(later)],
            "others need no turn"
        );
        mux.answer(later, Ok(answer_to(later)));
        road(&mux, first);
        let (second, _outcome) = exclusive(&mux, 2);
        let written = take(&mux, SECOND);
        assert_eq!(written.last().and_then(|frame| frame.id), Some(second));
    }
}

#[tokio::test]
async fn requests_that_wait_for_their_turn_are_written_one_by_one() {
    let mux = mux(Gate::Open);
    let waiting: Vec<_> = (0..4).map(|number| exclusive(&mux, number % 2)).collect();
    for (id, _) in [&waiting[0], &waiting[1], &waiting[2], &waiting[3]] {
        assert_eq!(ids(&take(&mux, FIRST)), [Some(*id)]);
        assert!(take(&mux, FIRST).is_empty());
        assert!(mux.answer(*id, Ok(answer_to(*id))));
    }
    assert_empty(&mux);
}

#[tokio::test]
async fn a_request_that_is_put_back_gives_its_turn_back() {
    let mux = mux(Gate::Open);
    let (id, _outcome) = exclusive(&mux, 1);
    let frames = take(&mux, FIRST);
    mux.put_back(frames);
    assert_eq!(ids(&take(&mux, SECOND)), [Some(id)]);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_turn_for_too_long_is_told_why() {
    let mux = mux(Gate::Open);
    let (_, _first) = exclusive(&mux, 1);
    take(&mux, FIRST);
    advance(1000 * MS).await;
    let (_, mut second) = exclusive(&mux, 2);
    advance(2000 * MS).await;
    mux.expire(Instant::now(), None);
    let fault = assert_fault(&mut second, FaultKind::ServerBusy, Delivered::No);
    assert!(fault.message.contains("one call at a time"), "{fault:?}");
}

/// RA06: a request whose client owes an answer keeps its turn until others have waited for long enough.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_its_client_gives_way_to_others() {
    let mux = mux(Gate::Open);
    let (id, mut first) = exclusive(&mux, 1);
    take(&mux, FIRST);
    assert!(mux.suspend(id));
    advance(2500 * MS).await;
    mux.expire(Instant::now(), None);
    assert!(first.try_recv().is_err(), "nobody else wants the turn");
    mux.resume(id);
    assert!(mux.suspend(id));
    let (other, _outcome) = exclusive(&mux, 2);
    advance(999 * MS).await;
    mux.expire(Instant::now(), None);
    assert!(first.try_recv().is_err(), "it was asked anew");
    advance(MS).await;
    mux.expire(Instant::now(), None);
    let fault = assert_fault(&mut first, FaultKind::RequestCancelled, Delivered::Unknown);
    assert!(fault.message.contains("input_wait_ms"), "{fault:?}");
    let written = take(&mux, FIRST);
    assert!(
        texts(&written)[0].contains("notifications/cancelled"),
        "{written:?}"
    );
    assert_eq!(written[1].id, Some(other));
}

#[derive(Debug, Default)]
struct Told(Mutex<Vec<Option<Incarnation>>>);

impl RequestRecord for Told {
    fn left(&self, end: &RequestEnd<'_>) {
        self.0.lock().unwrap().push(end.running());
    }
}

/// RA07: only of a request that was written to a life, and that this life has not answered, is it said that it may be
/// running.
#[tokio::test]
async fn what_may_still_be_running_is_known() {
    type Road = fn(&Mux, u64);
    let roads: [(bool, Road, Option<Incarnation>); 9] = [
        (
            true,
            |mux, id| assert!(mux.answer(id, Ok(answer_to(id)))),
            None,
        ),
        (true, |mux, _| assert!(mux.lose(FIRST)), None),
        (
            true,
            |mux, _| assert!(mux.cancel(&origin(1, "1"), None)),
            Some(FIRST),
        ),
        (true, |mux, id| mux.abandon(id), Some(FIRST)),
        (
            true,
            |mux, _| assert_eq!(mux.expire(Instant::now() + 3000 * MS, None), 1),
            Some(FIRST),
        ),
        (
            false,
            |mux, _| assert!(mux.cancel(&origin(1, "1"), None)),
            None,
        ),
        (false, |mux, id| mux.abandon(id), None),
        (
            false,
            |mux, _| assert_eq!(mux.expire(Instant::now() + 3000 * MS, None), 1),
            None,
        ),
        (false, |mux, _| mux.set_gate(Gate::Stopped), None),
    ];
    for (number, (written, road, expected)) in roads.into_iter().enumerate() {
        let (mux, told) = (mux(Gate::Open), Arc::new(Told::default()));
        let id = mux.mint();
        let submission = Submission {
            record: Some(Arc::clone(&told) as _),
            ..from(Some(origin(1, "1")))
        };
        let _outcome = mux.submit(id, frame_of(id), submission).unwrap();
        assert!(!mux.is_written(id));
        if written {
            take(&mux, FIRST);
            assert!(mux.is_written(id));
        }
        road(&mux, id);
        assert_eq!(*told.0.lock().unwrap(), [expected], "road {number}");
        assert!(!mux.is_written(id));
    }
}
