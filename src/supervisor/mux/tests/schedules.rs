//! Tasks that meet in the table, in orders that a scheduler picks: between two takings of the lock any other task
//! may run. A request that is left without an outcome is a deadlock there, and found as one.
//!
//! Shuttle tries random orders, and those of probabilistic concurrency testing, which finds a mistake that needs
//! few ill-timed switches with a known chance (Burckhardt et al., ASPLOS 2010). What is run is the real table
//! with the real writer of a child's stdin; only the pipe and the child are played.

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::pin::Pin;
use std::sync::Mutex as Shared;
use std::task::{Context, Poll};

use shuttle::future::{block_on, spawn};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::atomic::{AtomicBool, Ordering};
use shuttle::sync::mpsc::{Receiver, Sender, channel};
use shuttle::thread;
use tokio::io::AsyncWrite;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::supervisor::pipes::{WriteEnd, write_frames};

/// Schedules of each kind a test.
const SCHEDULES: usize = 300;
/// Ill-timed switches that a mistake may need.
const SWITCHES: usize = 3;

thread_local! {
    /// Whether this thread is one that a scheduler drives; on any other there is nothing to switch to.
    static DRIVEN: Cell<bool> = const { Cell::new(false) };
}

/// A place where another task may run first. The lock is free here, so it is never waited for.
pub(in crate::supervisor::mux) fn point() {
    if DRIVEN.get() {
        // Shuttle knows no time: its sleep is a switch.
        thread::sleep(Duration::ZERO);
    }
}

fn in_every_order(scenario: impl Fn() + Send + Sync + Clone + 'static) {
    fn run(scheduler: impl Scheduler + 'static, scenario: impl Fn() + Send + Sync + 'static) {
        let mut config = shuttle::Config::default();
        config.stack_size = 256 * 1024;
        shuttle::Runner::new(scheduler, config).run(scenario);
    }
    // The writer's timers want a clock near; nothing ever waits for one of them.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _entered = runtime.enter();
    DRIVEN.set(true);
    run(RandomScheduler::new(SCHEDULES), scenario.clone());
    run(PctScheduler::new(SWITCHES, SCHEDULES), scenario);
    DRIVEN.set(false);
}

/// A child's stdin that takes `room` bytes and then breaks.
struct Stdin {
    pipe: Sender<Vec<u8>>,
    room: usize,
}

impl AsyncWrite for Stdin {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        point();
        let count = bytes.len().min(self.room);
        self.room -= count;
        if count == 0 || self.pipe.send(bytes[..count].to_vec()).is_err() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// One life as `life` leads it: a writer, and a child that answers what it reads while it lives.
struct Life {
    incarnation: Incarnation,
    mux: Arc<Mux>,
    close: CancellationToken,
    writer: shuttle::future::JoinHandle<WriteEnd>,
    dead: Arc<AtomicBool>,
    child: thread::JoinHandle<()>,
}

/// The ids that were read whole by each child.
type Read = Arc<Shared<Vec<(Incarnation, u64)>>>;

impl Life {
    fn begin(mux: &Arc<Mux>, incarnation: Incarnation, room: usize, read: &Read) -> Self {
        mux.begin(incarnation);
        let (pipe, output) = channel();
        let close = CancellationToken::new();
        let stdin = Stdin { pipe, room };
        let stall = Duration::from_secs(1);
        let writing = write_frames(stdin, Arc::clone(mux), incarnation, stall, close.clone());
        let dead = Arc::new(AtomicBool::new(false));
        let child = thread::spawn({
            let (mux, dead, read) = (Arc::clone(mux), Arc::clone(&dead), Arc::clone(read));
            move || answer_all(&mux, &output, &dead, incarnation, &read)
        });
        Self {
            incarnation,
            mux: Arc::clone(mux),
            close,
            writer: spawn(writing),
            dead,
            child,
        }
    }

    /// The process ends, in the order of `life`: the writer, then what is still read, then the losses. The
    /// actor sets the gate at any time meanwhile.
    fn end(self, gate: Gate) {
        let mux = Arc::clone(&self.mux);
        let actor = thread::spawn(move || mux.set_gate(gate));
        self.dead.store(true, Ordering::SeqCst);
        self.close.cancel();
        block_on(self.writer).unwrap();
        self.child.join().unwrap();
        self.mux.lose(self.incarnation);
        actor.join().unwrap();
    }
}

fn answer_all(
    mux: &Mux,
    output: &Receiver<Vec<u8>>,
    dead: &AtomicBool,
    incarnation: Incarnation,
    read: &Read,
) {
    let mut unread = Vec::new();
    while let Ok(bytes) = output.recv() {
        unread.extend(bytes);
        while let Some(end) = unread.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unread.drain(..=end).collect();
            let line = String::from_utf8(line).unwrap();
            let id = line.trim_start_matches("{\"id\":").trim_end_matches("}\n");
            // A cancellation names its request further in; nobody answers it.
            let Ok(id) = id.parse() else { continue };
            read.lock().unwrap().push((incarnation, id));
            if dead.load(Ordering::SeqCst) {
                continue;
            }
            mux.answer(id, Ok(answer_to(id)));
        }
    }
}

/// A client that submits once and waits for what becomes of it: `None` for an answer.
fn client(mux: &Arc<Mux>) -> thread::JoinHandle<(u64, Option<(FaultKind, Delivered)>)> {
    let mux = Arc::clone(mux);
    thread::spawn(move || {
        let id = mux.mint();
        let submitted = mux.submit(id, frame_of(id), from(Some(origin(1, &id.to_string()))));
        let outcome = match submitted {
            Ok(outcome) => block_on(outcome).expect("dropped without an outcome"),
            Err(refused) => Err(refused),
        };
        let fault = outcome.err();
        (
            id,
            fault.map(|fault| (fault.kind, fault.delivered.unwrap())),
        )
    })
}

/// Nothing was written to two children, and what was not delivered was written to none.
fn assert_written_once(read: &Read, outcomes: &[(u64, Option<(FaultKind, Delivered)>)]) {
    let read = read.lock().unwrap();
    let ids: HashSet<u64> = read.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids.len(), read.len(), "written twice: {read:?}");
    for (id, fault) in outcomes {
        match fault {
            None => assert!(ids.contains(id)),
            Some((_, Delivered::No)) => assert!(!ids.contains(id), "delivered: {id}"),
            Some((_, Delivered::Unknown)) => {}
        }
    }
}

/// The lost-request race: requests come in while one process ends and the next begins, whatever the pipe
/// took of the last batch. Each is answered or known to be lost, and none is written twice.
#[test]
fn a_request_that_meets_the_end_of_a_life_is_answered_or_lost_in_every_order() {
    for room in [0, 4, 10, 1000] {
        in_every_order(move || {
            let (mux, read) = (Arc::new(mux(Gate::Open)), Read::default());
            let first = Life::begin(&mux, FIRST, room, &read);
            let clients: Vec<_> = (0..3).map(|_| client(&mux)).collect();
            first.end(Gate::Hold(1000 * MS));
            let second = Life::begin(&mux, SECOND, usize::MAX, &read);
            mux.set_gate(Gate::Open);
            let outcomes: Vec<_> = clients.into_iter().map(|c| c.join().unwrap()).collect();
            for (id, fault) in &outcomes {
                let lost = (FaultKind::ServerLost, Delivered::Unknown);
                assert!(fault.is_none_or(|fault| fault == lost), "{id}: {fault:?}");
            }
            assert_written_once(&read, &outcomes);
            assert_empty(&mux);
            second.end(Gate::Stopped);
        });
    }
}

/// The same with no next process: the gate closes while the process ends, as for an operator's stop.
#[test]
fn a_request_that_meets_the_last_end_is_answered_refused_or_lost_in_every_order() {
    for (gate, refusal) in [
        (Gate::Stopped, FaultKind::ServerStopped),
        (Gate::Failed, FaultKind::ServerFailed),
        (Gate::ShuttingDown, FaultKind::ShuttingDown),
    ] {
        in_every_order(move || {
            let (mux, read) = (Arc::new(mux(Gate::Open)), Read::default());
            let life = Life::begin(&mux, FIRST, 10, &read);
            let clients: Vec<_> = (0..3).map(|_| client(&mux)).collect();
            life.end(gate);
            let outcomes: Vec<_> = clients.into_iter().map(|c| c.join().unwrap()).collect();
            for (id, fault) in &outcomes {
                let ends = [
                    (FaultKind::ServerLost, Delivered::Unknown),
                    (refusal, Delivered::No),
                ];
                assert!(
                    fault.is_none_or(|fault| ends.contains(&fault)),
                    "{id}: {fault:?}"
                );
            }
            assert_written_once(&read, &outcomes);
            assert_empty(&mux);
        });
    }
}

/// A server that is asleep is woken by the first request, however that meets the one who waits for demand.
#[test]
fn a_request_wakes_a_sleeping_server_in_every_order() {
    in_every_order(|| {
        let (mux, read) = (Arc::new(mux(Gate::Asleep(1000 * MS))), Read::default());
        let clients: Vec<_> = (0..2).map(|_| client(&mux)).collect();
        block_on(mux.demanded());
        let life = Life::begin(&mux, SECOND, usize::MAX, &read);
        mux.set_gate(Gate::Open);
        let outcomes: Vec<_> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        assert!(
            outcomes.iter().all(|(_, fault)| fault.is_none()),
            "{outcomes:?}"
        );
        life.end(Gate::Stopped);
        assert_written_once(&read, &outcomes);
    });
}

/// An answer, a cancellation, a deadline, the end of the gateway and the end of the life, all for one request: it
/// has one outcome, and of the roads that say so one says that it was theirs.
#[test]
fn one_road_wins_in_every_order() {
    in_every_order(|| {
        let mux = Arc::new(mux(Gate::Open));
        let waiting = client(&mux);
        let road = |walk: fn(&Mux) -> bool| {
            let mux = Arc::clone(&mux);
            thread::spawn(move || walk(&mux))
        };
        let roads = [
            road(|mux| {
                take(mux, FIRST);
                mux.answer(1, Ok(answer_to(1)))
            }),
            road(|mux| mux.cancel(&origin(1, "1"), None)),
            road(|mux| mux.expire(Instant::now() + Duration::from_hours(1), None) == 1),
        ];
        let lost = road(|mux| mux.lose(FIRST));
        let won = roads.into_iter().map(|road| road.join().unwrap());
        let won = won.filter(|won| *won).count();
        assert!(lost.join().unwrap(), "the first time");
        mux.give_up();
        mux.set_gate(Gate::ShuttingDown);
        let (_, fault) = waiting.join().unwrap();
        let by_another = matches!(
            fault,
            Some((FaultKind::ServerLost | FaultKind::ShuttingDown, _))
        );
        assert_eq!(won, usize::from(!by_another), "{fault:?}");
        assert_empty(&mux);
    });
}
