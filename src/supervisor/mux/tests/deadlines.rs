//! How long a request waits, and what buys it more time.

use super::*;
use crate::supervisor::config::RequestConfig;

#[tokio::test(start_paused = true)]
async fn what_waits_too_long_says_what_it_waited_for() {
    let mux = mux(Gate::Open);
    let (_, mut written) = submit(&mux).unwrap();
    take(&mux, FIRST);
    let (_, mut queued) = submit(&mux).unwrap();
    advance(1999 * MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 0);
    advance(MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 2);
    assert_fault(&mut written, FaultKind::ServerTimeout, Delivered::Unknown);
    assert_fault(&mut queued, FaultKind::ServerBusy, Delivered::No);
    assert!(texts(&take(&mux, FIRST))[0].contains("timed out"));
    mux.set_gate(Gate::Hold(500 * MS));
    let (_, mut held) = submit(&mux).unwrap();
    advance(500 * MS).await;
    let next_start = Instant::now() + 7000 * MS;
    assert_eq!(mux.expire(Instant::now(), Some(next_start)), 1);
    let fault = assert_fault(&mut held, FaultKind::ServerStarting, Delivered::No);
    assert_eq!(fault.retry_after, Some(7000 * MS));
    assert_empty(&mux);
}

#[tokio::test(start_paused = true)]
async fn patience_with_a_start_ends_with_its_failure_and_begins_anew_when_open() {
    let mux = mux(Gate::Asleep(2000 * MS));
    let (_, mut one) = submit(&mux).unwrap();
    mux.limit_hold(1000 * MS);
    advance(999 * MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 0);
    mux.set_gate(Gate::Open);
    advance(1999 * MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 0);
    take(&mux, FIRST);
    advance(1999 * MS).await;
    assert_eq!(
        mux.expire(Instant::now(), None),
        0,
        "written has a time of its own"
    );
    advance(MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 1);
    assert_fault(&mut one, FaultKind::ServerTimeout, Delivered::Unknown);
}

/// F62: a sleep of the gateway is no part of what was waited, and buys nobody more than that.
#[tokio::test(start_paused = true)]
async fn a_sleep_is_given_back_to_those_who_waited_through_it() {
    let mux = mux(Gate::Open);
    let (_, mut before) = submit(&mux).unwrap();
    take(&mux, FIRST);
    advance(1000 * MS).await;
    advance(10_000 * MS).await;
    let (_, mut after) = submit(&mux).unwrap();
    take(&mux, FIRST);
    mux.slept(10_000 * MS);
    advance(999 * MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 0);
    advance(MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 1);
    assert_fault(&mut before, FaultKind::ServerTimeout, Delivered::Unknown);
    advance(1000 * MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 1, "2 s in all");
    assert_fault(&mut after, FaultKind::ServerTimeout, Delivered::Unknown);
}

#[derive(Debug)]
struct Deaf;

impl Observer for Deaf {
    fn progress(&self, _line: &Bytes, _token: Span) {}
}

/// F49: progress buys time, but not beyond the hard end.
#[tokio::test(start_paused = true)]
async fn progress_moves_the_deadline_up_to_the_hard_end() {
    let mux = mux(Gate::Open);
    let (id, mut outcome) = submit(&mux).unwrap();
    take(&mux, FIRST);
    for _ in 0..49 {
        advance(100 * MS).await;
        assert!(matches!(mux.progress(id), Progress::Unheard));
        assert_eq!(mux.expire(Instant::now(), None), 0);
    }
    advance(100 * MS).await;
    mux.progress(id);
    assert_eq!(mux.expire(Instant::now(), None), 1, "after request_max_ms");
    assert_fault(&mut outcome, FaultKind::ServerTimeout, Delivered::Unknown);
    assert!(matches!(mux.progress(id), Progress::Unknown));
}

#[tokio::test(start_paused = true)]
async fn progress_is_heard_of_what_was_written_only() {
    let mux = mux(Gate::Open);
    let id = mux.mint();
    let heard = Submission {
        observer: Some(Arc::new(Deaf)),
        ..from(Some(origin(1, "1")))
    };
    let _outcome = mux.submit(id, frame_of(id), heard).unwrap();
    assert!(matches!(mux.progress(id), Progress::Unknown), "a guess");
    take(&mux, FIRST);
    assert!(matches!(mux.progress(id), Progress::Heard(_)));
    assert_eq!(mux.last_heard(), Some(Instant::now()));
}

#[tokio::test(start_paused = true)]
async fn a_standing_request_has_no_deadline_and_is_no_work() {
    let mux = mux(Gate::Open);
    let id = mux.mint();
    let mut outcome = mux
        .submit(
            id,
            frame_of(id),
            Submission::standing(Owner::Principal(PrincipalId(1))),
        )
        .unwrap();
    take(&mux, FIRST);
    assert!(matches!(mux.progress(id), Progress::Unheard));
    advance(Duration::from_hours(24 * 365)).await;
    assert_eq!(mux.expire(Instant::now(), None), 0);
    assert!(outcome.try_recv().is_err(), "open still");
    assert!(mux.is_idle(), "the server may be asked whether it is alive");
    assert_eq!(mux.load().in_flight, 0);
    mux.lose(FIRST);
    let lost = outcome.try_recv().unwrap().unwrap_err();
    assert_eq!(lost.kind, FaultKind::ServerLost, "it ends with its server");
}

/// The message that a request of principal 1 is told which is not written while these principals have one under way.
async fn told_in_queue(divided: bool, under_way: &[u32], writer_waits: bool) -> String {
    let mux = mux(Gate::Open);
    mux.configure(RequestConfig {
        max_in_flight: 2,
        divided,
        ..fixture::config().requests
    });
    let mut others = Vec::new();
    for principal in under_way {
        let id = mux.mint();
        let submission = from(Some(origin(*principal, &id.to_string())));
        others.push(mux.submit(id, frame_of(id), submission).unwrap());
    }
    assert_eq!(take(&mux, FIRST).len(), under_way.len());
    let (_, mut waits) = submit(&mux).unwrap();
    if writer_waits {
        assert!(take(&mux, FIRST).is_empty());
    }
    advance(2000 * MS).await;
    mux.expire(Instant::now(), None);
    let fault = assert_fault(&mut waits, FaultKind::ServerBusy, Delivered::No);
    fault.message.into_owned()
}

#[tokio::test(start_paused = true)]
async fn what_is_not_written_in_time_is_told_the_true_cause() {
    for (divided, under_way, writer_waits, cause) in [
        (false, &[1, 1][..], true, "max_in_flight (2) is reached"),
        (true, &[1], true, "its share (1) of max_in_flight (2)"),
        (true, &[1, 2], true, "max_in_flight (2) is reached"),
        (false, &[1], false, "does not read its stdin"),
    ] {
        let told = told_in_queue(divided, under_way, writer_waits).await;
        assert!(told.contains(cause), "{cause}: {told}");
        assert!(told.contains("request_timeout_ms (2000)"), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_limit_of_its_own_is_told_that_one() {
    let mux = mux(Gate::Open);
    let mut outcomes = [true, false].map(|is_written| {
        let id = mux.mint();
        let submission = Submission {
            timeout: Some(500 * MS),
            ..from(Some(origin(1, &id.to_string())))
        };
        let outcome = mux.submit(id, frame_of(id), submission).unwrap();
        if is_written {
            take(&mux, FIRST);
        }
        outcome
    });
    advance(500 * MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 2);
    for outcome in &mut outcomes {
        let told = outcome.try_recv().unwrap().unwrap_err().message;
        assert!(told.contains("limit of 500 ms"), "{told}");
        assert!(!told.contains("request_timeout_ms"), "{told}");
    }
}
