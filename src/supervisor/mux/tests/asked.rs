//! Answers to the child, and the time that a person takes to give one.

use std::sync::Barrier;
use std::thread;

use super::*;

fn reply(mux: &Mux, incarnation: Incarnation) -> bool {
    mux.reply(
        incarnation,
        Owner::Principal(PrincipalId(1)),
        Bytes::from_static(b"{}\n"),
    )
}

#[tokio::test]
async fn an_answer_is_for_the_life_that_asked() {
    let mux = mux(Gate::Open);
    assert!(!reply(&mux, SECOND), "not yet");
    assert!(reply(&mux, FIRST));
    assert!(mux.lose(FIRST));
    assert!(!reply(&mux, FIRST), "no more");
    mux.begin(SECOND);
    assert!(!reply(&mux, FIRST), "nor behind the next beginning");
    assert!(take(&mux, SECOND).is_empty(), "what was taken went with it");
    assert!(reply(&mux, SECOND));
    assert_eq!(take(&mux, SECOND).len(), 1);
}

#[tokio::test]
async fn a_child_that_asks_and_does_not_read_is_answered_up_to_a_bound() {
    let mux = mux(Gate::Open);
    for _ in 0..MAX_CONTROL {
        assert!(reply(&mux, FIRST));
    }
    assert!(!reply(&mux, FIRST));
}

#[tokio::test]
async fn a_life_begins_with_nothing_that_was_left_over() {
    let mux = mux(Gate::Hold(1000 * MS));
    mux.lose(FIRST);
    let id = mux.mint();
    let mut stray = mux.submit(id, frame_of(id), from(None)).unwrap();
    let (_, mut client) = submit(&mux).unwrap();
    mux.begin(SECOND);
    assert_fault(&mut stray, FaultKind::ServerLost, Delivered::Unknown);
    assert!(client.try_recv().is_err(), "a client's waits for this life");
    mux.set_gate(Gate::Open);
    assert_eq!(ids(&take(&mux, SECOND)), [Some(2)]);
}

/// Answers come in while the life that asked is lost and the next begins.
#[test]
fn no_answer_meets_another_life() {
    for _ in 0..300 {
        let mux = mux(Gate::Open);
        let barrier = Barrier::new(3);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    barrier.wait();
                    for _ in 0..4 {
                        reply(&mux, FIRST);
                    }
                });
            }
            barrier.wait();
            assert!(mux.lose(FIRST));
            mux.begin(SECOND);
        });
        assert!(take(&mux, SECOND).is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_a_client_is_asked_does_not_count() {
    let mux = mux(Gate::Open);
    let (id, mut outcome) = submit(&mux).unwrap();
    assert!(!mux.suspend(id), "not written");
    take(&mux, FIRST);
    assert!(mux.suspend(id) && mux.suspend(id));
    advance(2100 * MS).await;
    assert!(matches!(mux.progress(id), Progress::Unheard));
    mux.resume(id);
    assert_eq!(mux.expire(Instant::now(), None), 0, "one question is open");
    advance(800 * MS).await;
    mux.resume(id);
    advance(1999 * MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 0, "a whole time again");
    advance(MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 1);
    assert_fault(&mut outcome, FaultKind::ServerTimeout, Delivered::Unknown);
    assert!(!mux.suspend(id), "ended");
    mux.resume(id);
}

#[tokio::test(start_paused = true)]
async fn a_person_who_thinks_for_ever_meets_the_hard_end() {
    let mux = mux(Gate::Open);
    let (id, mut outcome) = submit(&mux).unwrap();
    take(&mux, FIRST);
    assert!(mux.suspend(id));
    advance(4000 * MS).await;
    mux.resume(id);
    mux.resume(id);
    advance(999 * MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 0);
    advance(MS).await;
    assert_eq!(mux.expire(Instant::now(), None), 1, "after request_max_ms");
    assert_fault(&mut outcome, FaultKind::ServerTimeout, Delivered::Unknown);
}

#[tokio::test]
async fn what_is_under_way_is_known_with_whose_it_is() {
    let mux = mux(Gate::Open);
    let session: Arc<str> = "s".into();
    let submit = |principal, session: Option<&Arc<str>>| {
        let id = mux.mint();
        let origin = Origin {
            session: session.cloned(),
            ..origin(principal, "1")
        };
        let outcome = mux.submit(id, frame_of(id), from(Some(origin)));
        (id, outcome.unwrap())
    };
    let one = submit(1, Some(&session));
    assert_eq!(mux.under_way(), [], "nothing written");
    let own = mux.mint();
    let _own = mux.submit(own, frame_of(own), from(None)).unwrap();
    let two = submit(2, None);
    take(&mux, FIRST);
    let _waits = submit(3, None);
    let first = (one.0, PrincipalId(1), Some(Arc::clone(&session)));
    let second = (two.0, PrincipalId(2), None);
    assert_eq!(mux.under_way(), [first, second.clone()]);
    mux.abandon(one.0);
    assert_eq!(mux.under_way(), [second]);
}
