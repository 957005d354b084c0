//! How many connections may be open: in total, from one address group, and from strangers.
//!
//! A connection over a cap is closed at once: waiting would let one address keep all others waiting. But one that has
//! authenticated nothing so far gives its place to a new one, the oldest first: so nobody who has no token can keep out
//! those who have one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::address_counts::AddressCounts;
use super::allowlist::Standing;
use super::config::{LimitsConfig, address_group};
use super::placement::Homes;
use super::tls::TlsDoor;
use crate::instruments::{Held, Instruments};

/// Strangers, who will all be refused, have one place in sixteen, so that they cannot keep out those
/// who may enter.
const STRANGERS_SHARE: usize = 16;

/// One in sixteen places may be taken twice, by a new connection and by one that is told to give its place away and has
/// not closed yet: then no further one is accepted until it has.
const LEAVING_SHARE: usize = 16;

/// What decides whether a connection is kept.
pub(super) struct Door {
    pub(super) limits: Arc<dyn Fn() -> LimitsConfig + Send + Sync>,
    pub(super) standing: Arc<dyn Fn(IpAddr) -> Standing + Send + Sync>,
    pub(super) instruments: Instruments,
    /// Where a connection that has a place is served.
    pub(super) homes: Homes,
    /// What is before a connection that has a place, with TLS.
    pub(super) tls: Option<TlsDoor>,
}

/// The connections that are open, in total and by address group.
#[derive(Clone)]
pub(super) struct Slots(Arc<SlotTable>);

struct SlotTable {
    door: Door,
    open: Mutex<Open>,
    /// A connection that had given its place away is closed.
    left: Notify,
    refused: AddressCounts,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    strangers: usize,
    by_group: HashMap<IpAddr, GroupPlaces>,
    /// Those that have authenticated nothing so far, by age.
    unauthenticated: BTreeMap<u64, Unauthenticated>,
    /// Those that have no place any more and are not closed yet.
    leaving: usize,
    /// The number of the next connection.
    next: u64,
}

/// The places of one address group.
#[derive(Debug, Default)]
struct GroupPlaces {
    open: usize,
    unauthenticated: BTreeSet<u64>,
}

/// A connection that has authenticated nothing so far.
#[derive(Debug)]
struct Unauthenticated {
    group: IpAddr,
    standing: Standing,
    /// Cancelled when its place is another's.
    evicted: CancellationToken,
}

/// One open connection; gives its place back when dropped.
#[must_use]
pub(super) struct Slot {
    table: Arc<SlotTable>,
    number: u64,
    group: IpAddr,
    standing: Standing,
    authenticated: AtomicBool,
    evicted: CancellationToken,
    _counted: Held,
}

/// A place that was taken, and whether another connection had to give it away.
#[derive(Debug)]
struct Taken {
    number: u64,
    evicted: CancellationToken,
    was_anothers: bool,
}

impl Slots {
    /// No connection is open yet.
    pub(super) fn new(door: Door) -> Self {
        Self(Arc::new(SlotTable {
            door,
            open: Mutex::default(),
            left: Notify::new(),
            refused: AddressCounts::default(),
        }))
    }

    /// The limits in force.
    pub(super) fn limits(&self) -> LimitsConfig {
        (self.0.door.limits)()
    }

    /// Waits until few connections have given their places away and are still open. That is up to nobody but us. For one
    /// caller at a time.
    pub(super) async fn settled(&self) {
        let share = self.limits().max_connections.div_ceil(LEAVING_SHARE);
        while self.0.open().leaving >= share {
            self.0.left.notified().await;
        }
    }

    /// A place for one connection from this address, where there is one.
    pub(super) fn take(&self, ip: IpAddr) -> Option<Slot> {
        let table = &self.0;
        let standing = (table.door.standing)(ip);
        let group = address_group(ip);
        let taken = table.open().take(group, standing, &self.limits());
        if taken.as_ref().is_none_or(|taken| taken.was_anothers) {
            table.door.instruments.connection_refused();
            if table.refused.count(ip, tokio::time::Instant::now()).count == 1 {
                let closed = match taken {
                    Some(_) => "those that have not authenticated",
                    None => "new ones",
                };
                tracing::warn!(peer = %ip, "too many connections, closing {closed} because of {ip}");
            }
        }
        let Taken {
            number, evicted, ..
        } = taken?;
        Some(Slot {
            _counted: table.door.instruments.connection(),
            table: Arc::clone(table),
            number,
            group,
            standing,
            authenticated: AtomicBool::new(false),
            evicted,
        })
    }
}

impl SlotTable {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Notes that a request of the connection had a valid token: it keeps its place from now on.
    pub(super) fn authenticate(&self) {
        if !self.authenticated.load(Ordering::Relaxed) {
            let kept = self.table.open().authenticate(self.number);
            self.authenticated.store(kept, Ordering::Relaxed);
        }
    }

    /// Cancelled when another connection has its place: it has to close.
    pub(super) fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }
}

impl Open {
    /// Takes a place where there is one, or where one can be made.
    fn take(&mut self, group: IpAddr, standing: Standing, limits: &LimitsConfig) -> Option<Taken> {
        let leaving = self.leaving;
        let here = self.by_group.get(&group);
        let is_full = here.is_some_and(|here| here.open >= limits.max_connections_per_ip);
        match standing {
            Standing::Client if is_full => {
                let oldest = here.and_then(|here| here.unauthenticated.first().copied());
                self.evict(oldest)?;
            }
            // The clients of a proxy are many, and only it can tell them apart.
            Standing::Client | Standing::Proxy => {}
            Standing::Stranger => {
                let share = limits.max_connections.div_ceil(STRANGERS_SHARE);
                if is_full || self.strangers >= share {
                    return None;
                }
            }
        }
        if self.total >= limits.max_connections {
            let oldest = self.unauthenticated.keys().next().copied();
            self.evict(oldest)?;
        }
        let (number, evicted) = (self.next, CancellationToken::new());
        self.next += 1;
        self.total += 1;
        self.strangers += usize::from(standing == Standing::Stranger);
        let here = self.by_group.entry(group).or_default();
        here.open += 1;
        here.unauthenticated.insert(number);
        let unauthenticated = Unauthenticated {
            group,
            standing,
            evicted: evicted.clone(),
        };
        self.unauthenticated.insert(number, unauthenticated);
        Some(Taken {
            number,
            evicted,
            was_anothers: self.leaving > leaving,
        })
    }

    /// Takes the place of this connection away.
    fn evict(&mut self, number: Option<u64>) -> Option<()> {
        let number = number?;
        let evicted = self.unauthenticated.remove(&number)?;
        self.give_back(number, evicted.group, evicted.standing);
        self.leaving += 1;
        evicted.evicted.cancel();
        Some(())
    }

    /// Whether the connection has its place for good now; not if it was evicted before.
    fn authenticate(&mut self, number: u64) -> bool {
        let Some(known) = self.unauthenticated.remove(&number) else {
            return false;
        };
        if let Some(here) = self.by_group.get_mut(&known.group) {
            here.unauthenticated.remove(&number);
        }
        true
    }

    /// Notes that a connection is closed.
    fn close(&mut self, number: u64, authenticated: bool, group: IpAddr, standing: Standing) {
        if authenticated || self.unauthenticated.remove(&number).is_some() {
            self.give_back(number, group, standing);
        } else {
            self.leaving = self.leaving.saturating_sub(1);
        }
    }

    fn give_back(&mut self, number: u64, group: IpAddr, standing: Standing) {
        self.total = self.total.saturating_sub(1);
        if standing == Standing::Stranger {
            self.strangers = self.strangers.saturating_sub(1);
        }
        // The entry goes with its last connection, so the table is no larger than what is open.
        if let Some(here) = self.by_group.get_mut(&group) {
            here.open = here.open.saturating_sub(1);
            here.unauthenticated.remove(&number);
            if here.open == 0 {
                self.by_group.remove(&group);
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let authenticated = *self.authenticated.get_mut();
        let mut open = self.table.open();
        open.close(self.number, authenticated, self.group, self.standing);
        drop(open);
        if self.evicted.is_cancelled() {
            self.table.left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
