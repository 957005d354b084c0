//! What a lost guard leaves behind, on Linux: ended by the gateway itself.
//!
//! A guard ends everything below its server, also what made a session of its own. One that is killed, by a person or
//! for want of memory, can do that no more, and the process group of the server is not all of it. So the gateway, too,
//! is a reaper of descendants (`PR_SET_CHILD_SUBREAPER`(2const)): while guards live they inherit what is below them,
//! and what a lost one had comes to the gateway, whose children are guards and orphans and nothing else.

use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, set_child_subreaper, waitid,
};
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use crate::shards::in_thread;
use crate::supervisor::child::pid_of;
use crate::supervisor::guard::{Stat, children_of, parents, stat, with_descendants};

/// How long what was killed may take to be gone, and how often it is looked again.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// The guards of this process that were started and not waited for. Of the whole process, as its children are.
static GUARDS: Mutex<Option<HashSet<Pid>>> = Mutex::new(None);
/// Held for reading while a guard is started: one that is not in the list yet is no orphan.
static STARTS: RwLock<()> = RwLock::new(());

/// The children that were there before the first guard: those of the program that put the gateway in its own place.
static OTHERS: OnceLock<HashSet<Pid>> = OnceLock::new();

/// Starts a guard, and tells it from an orphan from its first moment on.
pub(in crate::supervisor) fn start_guard(
    start: impl FnOnce() -> io::Result<Child>,
) -> io::Result<Child> {
    let _no_search = STARTS.read().unwrap_or_else(PoisonError::into_inner);
    // Without it orphans go to init, as everywhere else: less is ended, nothing else is different. So it is where there
    // are other children: what they leave behind would come to us, and could not be told from what a guard does.
    if OTHERS.get_or_init(other_children).is_empty()
        && let Err(error) = set_child_subreaper(Some(getpid()))
    {
        tracing::debug!(%error, "cannot inherit what a lost guard leaves: {error}");
    }
    let guard = start()?;
    if let Some(pid) = pid_of(&guard) {
        with_guards(|guards| guards.insert(pid));
    }
    Ok(guard)
}

fn other_children() -> HashSet<Pid> {
    let any = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    // The common answer, at the price of one call: there is no child at all.
    if matches!(waitid(WaitId::All, any), Err(Errno::CHILD)) {
        return HashSet::new();
    }
    children_of(getpid(), &parents()).into_iter().collect()
}

/// A guard was waited for.
pub(in crate::supervisor) fn forget_guard(guard: Option<Pid>) {
    if let Some(pid) = guard {
        with_guards(|guards| guards.remove(&pid));
    }
}

/// Kills what lost guards have left, until nothing of it is there.
pub(in crate::supervisor) async fn end() {
    let until = Instant::now() + PATIENCE;
    while look().await > 0 && Instant::now() < until {
        sleep(LOOK_AGAIN).await;
    }
}

/// Kills and reaps once; gives how many orphans there were.
///
/// It reads all of `/proc`, and waits for starts that are under way, each a fork.
async fn look() -> usize {
    match in_thread("orphans", kill_and_reap) {
        Ok(told) => told.await.unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "no thread to look for what a lost guard has left: {error}");
            kill_and_reap()
        }
    }
}

fn with_guards<T>(work: impl FnOnce(&mut HashSet<Pid>) -> T) -> T {
    let mut guards = GUARDS.lock().unwrap_or_else(PoisonError::into_inner);
    work(guards.get_or_insert_default())
}

/// Gives how many orphans there were.
fn kill_and_reap() -> usize {
    let _no_start = STARTS.write().unwrap_or_else(PoisonError::into_inner);
    let parents = parents();
    let own_session = session_of(getpid());
    // A guard makes a session of its own, and so what is below it is in another than ours. What we did not start as a
    // guard and is in ours is none of our business: a test may have children of its own.
    let is_other = |pid: &Pid| OTHERS.get().is_some_and(|others| others.contains(pid));
    let is_orphan = |pid: &Pid| {
        let is_guard = with_guards(|guards| guards.contains(pid));
        !is_guard && !is_other(pid) && session_of(*pid) != own_session
    };
    let mut found = children_of(getpid(), &parents);
    found.retain(is_orphan);
    let orphans = found.len();
    let found = with_descendants(found, &parents);
    for pid in &found {
        // It may be gone by now; one of ours cannot have been replaced, because we reap it.
        let _ = kill_process(*pid, Signal::KILL);
    }
    for pid in found.iter().take(orphans) {
        let _ = waitid(
            WaitId::Pid(*pid),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        );
    }
    orphans
}

/// The session of a process: 0 where its leader is outside of our pid namespace, as in many a container, which is no
/// pid. Hence not by `getsid`(2).
fn session_of(process: Pid) -> Option<i32> {
    stat(process, Stat::Session)
}
