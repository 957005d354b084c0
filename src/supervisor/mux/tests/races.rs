//! Threads that meet in the table: nothing hangs, nothing is lost, nothing is written twice.

use std::collections::HashSet;
use std::sync::Barrier;
use std::thread;

use super::*;

/// How often each race is run: enough to meet every order of two short critical sections.
const ROUNDS: usize = 300;

/// Requests come in while the life they are written to is lost and the gate closes behind it.
#[test]
fn a_request_that_meets_the_end_of_a_life_has_an_outcome() {
    for round in 0..ROUNDS {
        let mux = mux(Gate::Open);
        let barrier = Barrier::new(4);
        let (outcomes, written) = thread::scope(|scope| {
            let clients: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        (0..4).filter_map(|_| submit(&mux).ok()).collect::<Vec<_>>()
                    })
                })
                .collect();
            let writer = scope.spawn(|| {
                barrier.wait();
                let mut written = take(&mux, FIRST);
                let unwritten = written.split_off(written.len() / 2);
                mux.put_back(unwritten);
                ids(&written)
            });
            barrier.wait();
            mux.set_gate(Gate::Hold(1000 * MS));
            // As in a life: the writer has ended when its losses are counted.
            let written = writer.join().unwrap();
            mux.lose(FIRST);
            mux.set_gate(Gate::Failed);
            let outcomes: Vec<_> = clients
                .into_iter()
                .flat_map(|client| client.join().unwrap())
                .collect();
            (outcomes, written)
        });
        let written: HashSet<_> = written.into_iter().collect();
        for (id, mut outcome) in outcomes {
            let lost = written.contains(&Some(id));
            let (kind, delivered) = if lost {
                (FaultKind::ServerLost, Delivered::Unknown)
            } else {
                (FaultKind::ServerFailed, Delivered::No)
            };
            let fault = outcome.try_recv();
            let fault = fault.unwrap_or_else(|_| panic!("round {round}: request {id} hangs"));
            let fault = fault.unwrap_err();
            assert_eq!((fault.kind, fault.delivered), (kind, Some(delivered)));
        }
        assert_empty(&mux);
    }
}

/// An answer, a cancellation, a disconnect and a deadline for the same request: one of them wins.
#[test]
fn one_road_wins() {
    for _ in 0..ROUNDS {
        let mux = mux(Gate::Open);
        let (id, outcome) = submit(&mux).unwrap();
        take(&mux, FIRST);
        let barrier = Barrier::new(4);
        let (answered, cancelled, expired) = thread::scope(|scope| {
            let answer = scope.spawn(|| {
                barrier.wait();
                mux.answer(id, Ok(answer_to(id)))
            });
            let cancel = scope.spawn(|| {
                barrier.wait();
                mux.cancel(&origin(1, &id.to_string()), None)
            });
            let expire = scope.spawn(|| {
                barrier.wait();
                mux.expire(Instant::now() + Duration::from_hours(1), None) == 1
            });
            barrier.wait();
            mux.lose(SECOND);
            (
                answer.join().unwrap(),
                cancel.join().unwrap(),
                expire.join().unwrap(),
            )
        });
        assert_eq!(
            u8::from(answered) + u8::from(cancelled) + u8::from(expired),
            1
        );
        let kind = match outcome.blocking_recv().expect("an outcome") {
            Ok(_) => None,
            Err(fault) => Some(fault.kind),
        };
        let expected = match (answered, cancelled) {
            (true, _) => None,
            (false, true) => Some(FaultKind::RequestCancelled),
            (false, false) => Some(FaultKind::ServerTimeout),
        };
        assert_eq!(kind, expected);
        let told = take(&mux, FIRST);
        assert!(told.is_empty() == answered || told.is_empty(), "{told:?}");
        assert_empty(&mux);
    }
}

/// Ids come from all threads and go to all lives: none comes twice.
#[test]
fn ids_are_never_used_twice() {
    let mux = mux(Gate::Open);
    let minted: Vec<u64> = thread::scope(|scope| {
        let minters: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..1000).map(|_| mux.mint()).collect::<Vec<_>>()))
            .collect();
        minters
            .into_iter()
            .flat_map(|minter| minter.join().unwrap())
            .collect()
    });
    let distinct: HashSet<u64> = minted.iter().copied().collect();
    assert_eq!(distinct.len(), minted.len());
}

/// A writer that waits is woken by whatever makes something writable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_writer_misses_nothing() {
    let mux = Arc::new(mux(Gate::Hold(1000 * MS)));
    let mut writer = tokio::task::JoinSet::new();
    writer.spawn({
        let mux = Arc::clone(&mux);
        async move {
            let (mut seen, mut batch) = (0, Vec::new());
            while seen < ROUNDS {
                mux.next_batch(FIRST, &mut batch).await;
                for id in batch.drain(..).filter_map(|frame| frame.id) {
                    seen += 1;
                    assert!(mux.answer(id, Ok(answer_to(id))));
                }
            }
        }
    });
    for round in 0..ROUNDS {
        let (id, outcome) = submit(&mux).expect("the queue has room");
        mux.set_gate(Gate::Open);
        let outcome = tokio::time::timeout(Duration::from_secs(10), outcome).await;
        assert_eq!(outcome.expect("no hang").unwrap(), Ok(answer_to(id)));
        if round % 3 == 0 {
            mux.set_gate(Gate::Hold(1000 * MS));
        }
    }
    writer.join_next().await.unwrap().unwrap();
    assert_empty(&mux);
}
