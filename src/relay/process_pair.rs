//! The processes that serve one set of clients, by the era that each is spoken to in.
//!
//! A server that knows both eras is another server in each: what asks a legacy client by a request of its own fails
//! on a modern connection, and the other way round. So each client is served in its own era. There is one process,
//! and a second one only while clients of both eras use a server that may know both; a server that turns out to
//! know one era has one process, and clients of the other are bridged to it.

mod leased;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub(super) use leased::LeasedProcess;

use super::instances::Kept;
use super::upstream::Upstream;
use crate::fault::Fault;
use crate::protocol::Era;
use crate::supervisor::{self, EraChoice, ServerHandle};

/// When a second process that could not be started is tried again: a server may hold something that only one
/// process can have.
const RETRY: Duration = Duration::from_mins(5);
/// Answers of servers that are waited for, one after the other, to find the process of a client: the first
/// process's, the second's, and the same again where a reload came in between.
const MAX_WAITS: usize = 4;

/// Makes one more process of the same server for the same clients.
pub(super) type MakeProcess = Box<dyn Fn(supervisor::Config) -> Upstream + Send + Sync>;

/// One process, or two.
pub(super) struct ProcessPair {
    first: Arc<Upstream>,
    second: Mutex<Second>,
    /// Second processes that were dismissed, and may not have ended yet.
    dismissed: Mutex<Vec<ServerHandle>>,
    make: MakeProcess,
}

/// The process of the other era.
#[derive(Debug, Default)]
enum Second {
    /// Nobody has wanted it.
    #[default]
    None,
    There {
        upstream: Arc<Upstream>,
        /// Clients were given to it.
        served: bool,
    },
    /// It could not be started, and is not tried before this.
    Failed { until: Instant },
    /// The pair is being retired.
    Closed,
}

/// What is known of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProcessEra {
    /// The era of its last handshake; before the first, the one that it is started for.
    era: Era,
    shaken: bool,
}

/// Which process serves a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    First,
    Second,
    /// The one that is to be started.
    New,
    /// One of these, when the first has done its handshake.
    AfterFirst,
    /// One of these, when the second has.
    AfterSecond,
}

/// Picks the process for a client that speaks in the era `wanted`. `known` says whether the server may know that.
fn choose(
    wanted: Era,
    choice: EraChoice,
    first: ProcessEra,
    second: Option<ProcessEra>,
    known: bool,
) -> Choice {
    if choice != EraChoice::Auto || (first.era == wanted) {
        return Choice::First;
    }
    if !first.shaken {
        return Choice::AfterFirst;
    }
    match second {
        Some(second) if second.shaken && second.era == wanted => Choice::Second,
        Some(second) if !second.shaken => Choice::AfterSecond,
        None if known => Choice::New,
        Some(_) | None => Choice::First,
    }
}

impl ProcessPair {
    pub(super) fn new(first: Upstream, make: MakeProcess) -> Self {
        Self {
            first: Arc::new(first),
            second: Mutex::default(),
            dismissed: Mutex::default(),
            make,
        }
    }

    fn second(&self) -> MutexGuard<'_, Second> {
        // Whoever panicked under the lock left a whole value.
        self.second.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The processes that there are.
    pub(super) fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let first = Arc::clone(&self.first);
        match &*self.second() {
            Second::There { upstream, .. } => vec![first, Arc::clone(upstream)],
            Second::None | Second::Failed { .. } | Second::Closed => vec![first],
        }
    }

    /// True for a process of this pair.
    fn has(&self, upstream: &Arc<Upstream>) -> bool {
        if Arc::ptr_eq(&self.first, upstream) {
            return true;
        }
        match &*self.second() {
            Second::There {
                upstream: second, ..
            } => Arc::ptr_eq(second, upstream),
            Second::None | Second::Failed { .. } | Second::Closed => false,
        }
    }

    /// The process for a client of this era; without one, whichever is there. `false` where that is only known
    /// when the process has done its handshake.
    pub(super) fn pick(&self, wanted: Option<Era>) -> (Arc<Upstream>, bool) {
        let first = || Arc::clone(&self.first);
        let Some(wanted) = wanted else {
            return (first(), true);
        };
        let handle = &self.first.handle;
        let known_era = handle.era();
        // What stops a server holds for a process that was not there to be told, too.
        if known_era == Some(wanted) || handle.mux().is_stopped() {
            return (first(), true);
        }
        let of_first = ProcessEra {
            era: known_era.unwrap_or_else(|| handle.wish_era(wanted)),
            shaken: known_era.is_some(),
        };
        let config = handle.config();
        let mut second = self.second();
        let of_second = match &*second {
            Second::There { upstream, .. } => Some(ProcessEra {
                era: upstream.handle.era().unwrap_or(wanted),
                shaken: upstream.handle.era().is_some(),
            }),
            Second::None | Second::Failed { .. } | Second::Closed => None,
        };
        let may_come = match &*second {
            Second::None | Second::There { .. } => true,
            Second::Failed { until } => *until <= Instant::now(),
            Second::Closed => false,
        };
        // A server that was given up is not tried by another way.
        let may_come = may_come && !handle.status().has_ended();
        let known = may_come && handle.era_facts().may_know(wanted);
        match choose(wanted, config.era, of_first, of_second, known) {
            Choice::First => {
                // A second process that has turned out to be of the same era as the first is not needed.
                let is_other = |second: ProcessEra| second.shaken && second.era != wanted;
                if of_second.is_some_and(is_other) && second.is_unused() {
                    self.dismiss(&mut second, "the first process has the same era");
                }
                (first(), true)
            }
            Choice::AfterFirst => (first(), false),
            Choice::New => {
                let config = supervisor::Config {
                    autostart: false,
                    ..(*config).clone()
                };
                let id = &config.id;
                tracing::info!(server_id = %id, era = wanted.as_str(), "clients of both eras use the server: it gets a second process");
                let upstream = Arc::new((self.make)(config));
                upstream.handle.wish_era(wanted);
                *second = Second::There {
                    upstream: Arc::clone(&upstream),
                    served: false,
                };
                (upstream, false)
            }
            Choice::Second | Choice::AfterSecond => match &mut *second {
                Second::There { upstream, served } => {
                    let settled = of_second.is_some_and(|of_second| of_second.shaken);
                    *served |= settled;
                    (Arc::clone(upstream), settled)
                }
                Second::None | Second::Failed { .. } | Second::Closed => (first(), true),
            },
        }
    }

    /// The process for a client of this era, waited for where that is not known yet. Fails as a request does that
    /// waits for the first process. Cancel safe.
    pub(super) async fn settle(&self, wanted: Option<Era>) -> Result<Arc<Upstream>, Fault> {
        for _ in 0..MAX_WAITS {
            let (upstream, settled) = self.pick(wanted);
            if settled {
                return Ok(upstream);
            }
            if Arc::ptr_eq(&upstream, &self.first) {
                upstream.handle.wait_for_handshake().await?;
            } else if upstream.handle.first_start().await.is_none() {
                self.give_up(&upstream);
            }
        }
        Ok(Arc::clone(&self.first))
    }

    /// The process for a client of this era as far as that is known now; the first one where it is not.
    pub(super) fn at_once(&self, wanted: Option<Era>) -> Arc<Upstream> {
        match self.pick(wanted) {
            (upstream, true) => upstream,
            (_, false) => Arc::clone(&self.first),
        }
    }

    /// A second process that cannot be started is not needed: its clients are bridged.
    fn give_up(&self, upstream: &Arc<Upstream>) {
        let mut second = self.second();
        if let Second::There {
            upstream: there, ..
        } = &*second
            && Arc::ptr_eq(there, upstream)
        {
            let id = upstream.handle.id();
            let status = upstream.handle.status();
            let reason = status.last_error.as_deref().unwrap_or("unknown");
            let stderr = upstream.handle.stderr_tail();
            let last_line = stderr.last().map_or("", String::as_str);
            tracing::warn!(server_id = %id, reason, last_line, "server {id} could not be started a second time, for clients of the other era; the first process serves them. \"era\": \"legacy\" or \"modern\" in its entry stops the tries: {reason}");
            if self.dismiss(&mut second, "the second process could not be started") {
                *second = Second::Failed {
                    until: Instant::now() + RETRY,
                };
            }
        }
    }
}

impl ProcessPair {
    /// Has a second process drained and stopped; `false` where that has to be tried again.
    fn dismiss(&self, second: &mut Second, why: &'static str) -> bool {
        let Second::There { upstream, .. } = second else {
            return true;
        };
        if !upstream.handle.dismiss(why) {
            return false;
        }
        // A stream that is subscribed to it would be silent for ever.
        upstream.ended.cancel();
        let mut dismissed = self.dismissed();
        dismissed.retain(|handle| !handle.is_gone());
        dismissed.push(upstream.handle.clone());
        *second = Second::None;
        true
    }

    fn dismissed(&self) -> MutexGuard<'_, Vec<ServerHandle>> {
        self.dismissed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Second {
    /// Nobody was given to it, or nobody is left: each that uses a process holds it.
    fn is_unused(&self) -> bool {
        match self {
            Self::There { upstream, served } => !served || Arc::strong_count(upstream) == 1,
            Self::None | Self::Failed { .. } | Self::Closed => true,
        }
    }
}

impl Kept for ProcessPair {
    fn handles(&self) -> Vec<ServerHandle> {
        let upstreams = self.upstreams().into_iter();
        upstreams.map(|upstream| upstream.handle.clone()).collect()
    }

    fn close(&self) -> Vec<ServerHandle> {
        // At once: a second process that is made between a look and the end would be nobody's.
        let second = std::mem::replace(&mut *self.second(), Second::Closed);
        let second = match second {
            Second::There { upstream, .. } => Some(upstream.handle.clone()),
            Second::None | Second::Failed { .. } | Second::Closed => None,
        };
        let dismissed = std::mem::take(&mut *self.dismissed());
        let first = self.first.handle.clone();
        [first].into_iter().chain(second).chain(dismissed).collect()
    }

    fn autostarts(&self, handle: &ServerHandle) -> bool {
        // A second process is started by its clients only.
        *handle == self.first.handle
    }
}

impl std::fmt::Debug for ProcessPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessPair")
            .field("first", &self.first)
            .field("second", &self.second())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
