//! The threads that messages travel on, each with an event loop of its own.
//!
//! Every server has a home among them, where its pipes are read and written, and a request is served where the server
//! lives that it asks for. So a message usually crosses the gateway on one thread: no other thread is woken for
//! it, nothing is stolen, no lock is contended. Two servers on two shards disturb each other as little as two
//! processes would: the system divides the cores between their threads (invariant I10). So there are more shards than
//! cores where there are more servers. A child is read by one thread in any case, and one thread carries more calls a
//! second than most children answer.
//!
//! The front has shards of its own, where handshakes and requests without a valid token are served. A third kind, the
//! workers, serve what would keep others waiting at a server's home: requests for no server or for all of them, large
//! bodies, and a token that has many requests under way beside other tokens.
//!
//! Where a task runs changes what it costs and nothing else: whatever is not at home works across threads as well.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// The least number of shards: one may be busy with a long message while another serves.
const LEAST: usize = 2;
/// So many servers have a shard each, however few cores there are: it is four descriptors and 60 KiB.
const OWN: usize = 64;

/// Of so many tasks that a busy event loop runs, one may be one that another thread has woken. Tokio's own 31 is made
/// for loops that are woken by themselves: here a new connection comes from elsewhere, and so does all that is not at
/// home.
const FROM_ELSEWHERE: u32 = 2;

/// How many shards such a gateway wants: one for each core, and one for each server as far as that goes.
///
/// A turn of an event loop is as long as everything that is ready in it. Where a quiet server shared one with a busy
/// one, each of its calls waited for all 64 of the other's, and the median one took 4.7 times as long; the system
/// divides a core between threads in smaller parts, and prefers who has waited. Servers that come later share the
/// shards that there are.
pub fn count_for(servers: usize, cores: usize) -> usize {
    servers.min(OWN).max(cores).max(LEAST)
}

/// How many shards the front of such a gateway wants: one for each core.
pub fn fronts_for(cores: usize) -> usize {
    cores.max(LEAST)
}

/// How many workers such a gateway wants: one for each core, and at least four, so that few tokens share one.
pub fn workers_for(cores: usize) -> usize {
    cores.max(4)
}

/// Has work that blocks done in a thread of its own, and not on an event loop, where connections would wait for it.
///
/// Not by the runtime's blocking pool, which panics where the system grants it no thread (EAGAIN). Here that is the error.
pub fn in_thread<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (tell, told) = oneshot::channel();
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        // Nobody may wait for it any more.
        let _ = tell.send(work());
    })?;
    Ok(told)
}

/// Where tasks can be started: one event loop.
#[derive(Clone, Debug)]
pub struct Shard(Handle);

impl PartialEq for Shard {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for Shard {}

/// All shards, given out in turn.
#[derive(Clone, Debug)]
pub struct Shards(Arc<Turns>);

#[derive(Debug)]
struct Turns {
    shards: Vec<Shard>,
    next: AtomicUsize,
}

/// The threads of the shards, which end when this is dropped.
#[derive(Debug)]
pub struct Threads {
    shards: Shards,
    end: DropGuard,
    /// Hears nothing but that the last thread has ended.
    ended: mpsc::Receiver<Infallible>,
}

impl Shard {
    /// The event loop of the caller, which must be within a tokio runtime.
    pub fn here() -> Self {
        Self(Handle::current())
    }

    /// Does something within this event loop, such as registering a socket with it, on the thread of the caller.
    pub fn within<T>(&self, action: impl FnOnce() -> T) -> T {
        let _entered = self.0.enter();
        action()
    }

    /// Starts a task here that is tracked there.
    pub fn spawn<F>(&self, task: F, tracker: &TaskTracker)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(tracker.spawn_on(task, &self.0));
    }
}

impl Shards {
    /// Nothing but the event loop of the caller, which must be within a tokio runtime.
    pub fn here() -> Self {
        Self::of(vec![Shard::here()])
    }

    fn of(shards: Vec<Shard>) -> Self {
        let next = AtomicUsize::new(0);
        Self(Arc::new(Turns { shards, next }))
    }

    /// The one whose turn it is.
    pub fn next(&self) -> Shard {
        let Turns { shards, next } = &*self.0;
        let turn = next.fetch_add(1, Ordering::Relaxed) % shards.len().max(1);
        // There is at least one, or these would not be here.
        shards.get(turn).cloned().unwrap_or_else(Shard::here)
    }

    /// The one that goes with a number: always the same for the same number.
    pub fn at(&self, number: usize) -> Shard {
        let shards = &self.0.shards;
        let at = number % shards.len().max(1);
        shards.get(at).cloned().unwrap_or_else(Shard::here)
    }

    /// Each of them once.
    pub fn all(&self) -> impl Iterator<Item = &Shard> {
        self.0.shards.iter()
    }
}

/// Finds event loops that do not run their tasks.
#[derive(Debug)]
pub struct Pulse {
    loops: Vec<(Shard, Option<Question>)>,
}

/// A task that was given to an event loop.
#[derive(Debug)]
struct Question {
    asked: Instant,
    answered: Arc<AtomicBool>,
}

impl Pulse {
    /// Nothing has been asked yet.
    pub fn new(shards: impl IntoIterator<Item = Shard>) -> Self {
        let loops = shards.into_iter().map(|shard| (shard, None));
        Self {
            loops: loops.collect(),
        }
    }

    /// The longest time for which any event loop owes an answer. Asks those that owe none, and waits for nobody.
    pub fn longest_silence(&mut self, now: Instant) -> Duration {
        let silences = self.loops.iter_mut().map(|(shard, question)| {
            if let Some(open) = question
                && !open.answered.load(Ordering::Acquire)
            {
                return now.saturating_duration_since(open.asked);
            }
            let answered = Arc::new(AtomicBool::new(false));
            let answer = Arc::clone(&answered);
            let task = async move { answer.store(true, Ordering::Release) };
            drop(shard.0.spawn(task));
            *question = Some(Question {
                asked: now,
                answered,
            });
            Duration::ZERO
        });
        // All are asked, so none is skipped.
        silences.fold(Duration::ZERO, Duration::max)
    }
}

impl Threads {
    /// Starts so many threads of this name, at least one. The error is that of a system without a thread or a descriptor
    /// to spare.
    pub fn start(name: &str, count: usize) -> io::Result<Self> {
        let end = CancellationToken::new();
        // Where one cannot be started, those before it end.
        let guard = end.clone().drop_guard();
        let (alive, ended) = mpsc::channel();
        let mut shards = Vec::new();
        for number in 0..count.max(1) {
            let runtime = Builder::new_current_thread()
                .global_queue_interval(FROM_ELSEWHERE)
                .enable_all()
                .build()?;
            shards.push(Shard(runtime.handle().clone()));
            let (end, alive) = (end.clone(), alive.clone());
            thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || carry(runtime, &end, alive))?;
        }
        Ok(Self {
            shards: Shards::of(shards),
            end: guard,
            ended,
        })
    }

    /// The shards of these threads.
    pub fn shards(&self) -> Shards {
        self.shards.clone()
    }

    /// Drops every task that is still there, and waits for the threads to end, but no longer than this.
    pub fn shutdown(self, within: Duration) {
        drop(self.end);
        // Nothing is ever sent: it ends with the last thread, or is overdue.
        let _ended_or_overdue = self.ended.recv_timeout(within);
    }
}

/// The life of one thread.
fn carry(runtime: Runtime, end: &CancellationToken, alive: mpsc::Sender<Infallible>) {
    runtime.block_on(end.cancelled());
    runtime.shutdown_background();
    drop(alive);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    const AMPLE: Duration = Duration::from_secs(20);

    /// The name of the thread that tasks of a shard run on.
    fn name_of(shard: &Shard) -> String {
        let (tell, told) = mpsc::channel();
        let tracker = TaskTracker::new();
        let task = async move {
            let name = thread::current().name().map(str::to_owned);
            tell.send(name).expect("somebody listens");
        };
        shard.spawn(task, &tracker);
        let name = told.recv_timeout(AMPLE).expect("the task runs");
        name.expect("it has a name")
    }

    #[test]
    fn every_core_has_a_shard_and_every_server_up_to_a_number() {
        assert_eq!(count_for(0, 1), 2);
        assert_eq!(count_for(3, 8), 8);
        assert_eq!(count_for(20, 8), 20);
        assert_eq!(count_for(200, 8), 64);
        assert_eq!(count_for(200, 128), 128);
    }

    #[test]
    fn each_shard_is_a_thread_of_its_own_and_they_take_turns() {
        let threads = Threads::start("shard", 3).unwrap();
        let shards = threads.shards();
        let names: Vec<_> = (0..6).map(|_| name_of(&shards.next())).collect();
        assert_eq!(names[..3], names[3..]);
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), 3);
    }

    #[test]
    fn what_another_thread_wakes_has_every_second_turn_of_a_busy_loop() {
        const TASKS: usize = 100;
        let threads = Threads::start("shard", 1).unwrap();
        let (shard, tracker) = (threads.shards().next(), TaskTracker::new());
        let turns = Arc::new(AtomicUsize::new(0));
        let busy = Arc::clone(&turns);
        let (begin, begun) = mpsc::channel::<()>();
        let for_ever = async move {
            // Until the others are there.
            begun.recv().expect("they come");
            poll_fn::<(), _>(|context| {
                busy.fetch_add(1, Ordering::Relaxed);
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        };
        shard.spawn(for_ever, &tracker);
        let (tell, told) = mpsc::channel();
        for _ in 0..TASKS {
            let (turns, tell) = (Arc::clone(&turns), tell.clone());
            let task = async move {
                let turns = turns.load(Ordering::Relaxed);
                tell.send(turns).expect("somebody listens");
            };
            shard.spawn(task, &tracker);
        }
        begin.send(()).expect("it waits");
        let turns = (0..TASKS).map(|_| told.recv_timeout(AMPLE).expect("it runs"));
        let last = turns.max().expect("there is one");
        assert!((TASKS / 2..=TASKS * 2).contains(&last), "{last} turns");
    }

    #[test]
    fn a_shutdown_drops_what_is_still_there_and_waits_for_the_threads() {
        struct Dropped(mpsc::Sender<&'static str>);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.send("dropped").expect("somebody listens");
            }
        }

        let threads = Threads::start("shard", 1).unwrap();
        let shard = threads.shards().next();
        let (tell, told) = mpsc::channel();
        let for_ever = async move {
            let own = Dropped(tell);
            own.0.send("begun").expect("somebody listens");
            std::future::pending::<()>().await;
        };
        shard.spawn(for_ever, &TaskTracker::new());
        assert_eq!(told.recv_timeout(AMPLE), Ok("begun"));
        threads.shutdown(AMPLE);
        assert_eq!(told.try_recv(), Ok("dropped"));
    }

    /// RD02: one stuck loop is found while others answer, and is forgiven as soon as it goes on.
    #[test]
    fn a_thread_that_is_stuck_is_told_from_one_that_turns() {
        let threads = Threads::start("shard", 2).unwrap();
        let shards = threads.shards();
        let mut pulse = Pulse::new(shards.all().cloned());
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let (free, stuck) = mpsc::channel::<()>();
        let task = async move {
            // Until the test frees it.
            let _ = stuck.recv();
        };
        shards.next().spawn(task, &TaskTracker::new());
        assert_eq!(pulse.longest_silence(start), Duration::ZERO);
        // The other one has answered by then.
        name_of(&shards.next());
        for seconds in [5, 20] {
            assert_eq!(
                pulse.longest_silence(after(seconds)),
                Duration::from_secs(seconds)
            );
        }
        drop(free);
        let stuck = shards.all().next().unwrap();
        name_of(stuck);
        let silence = pulse.longest_silence(after(30));
        assert!(silence <= Duration::from_secs(25), "{silence:?}");
        let all: Vec<_> = shards.all().map(name_of).collect();
        assert_eq!(
            (pulse.longest_silence(after(31)), all.len()),
            (Duration::ZERO, 2)
        );
    }

    #[test]
    fn a_thread_that_does_not_come_back_is_not_waited_for() {
        let threads = Threads::start("shard", 1).unwrap();
        let (stuck, tell_stuck) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let task = async move {
            tell.send(()).expect("somebody listens");
            // Until the test is over.
            let _ = tell_stuck.recv();
        };
        threads.shards().next().spawn(task, &TaskTracker::new());
        told.recv_timeout(AMPLE).expect("it begins");
        threads.shutdown(Duration::from_millis(10));
        drop(stuck);
    }
}
