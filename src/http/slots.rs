//! How many connections may be open: in total, from one address, and from strangers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::allowlist::Standing;
use super::config::{LimitsConfig, canonical};
use super::limiter::MinuteCounts;
use super::placement::Homes;
use super::tls::TlsDoor;
use crate::instruments::{Held, Instruments};

/// Strangers, who will all be refused, have one place in sixteen, so that they cannot keep out those
/// who may enter.
const STRANGERS_SHARE: usize = 16;

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

/// The connections that are open, in total and by address.
///
/// A connection over a cap is closed at once: waiting would let one address keep all others waiting.
#[derive(Clone)]
pub(super) struct Slots(Arc<SlotTable>);

struct SlotTable {
    door: Door,
    open: Mutex<Open>,
    refused: MinuteCounts,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    strangers: usize,
    by_ip: HashMap<IpAddr, usize>,
}

/// One open connection; gives its place back when dropped.
#[must_use]
pub(super) struct Slot {
    table: Arc<SlotTable>,
    ip: IpAddr,
    standing: Standing,
    _counted: Held,
}

impl Slots {
    /// No connection is open yet.
    pub(super) fn new(door: Door) -> Self {
        Self(Arc::new(SlotTable {
            door,
            open: Mutex::default(),
            refused: MinuteCounts::default(),
        }))
    }

    /// The limits in force.
    pub(super) fn limits(&self) -> LimitsConfig {
        (self.0.door.limits)()
    }

    /// A place for one connection from this address, where there is one.
    pub(super) fn take(&self, ip: IpAddr) -> Option<Slot> {
        let table = &self.0;
        let ip = canonical(ip);
        let standing = (table.door.standing)(ip);
        let limits = self.limits();
        let taken = table.open().take(ip, standing, &limits);
        if taken {
            return Some(Slot {
                _counted: table.door.instruments.connection(),
                table: Arc::clone(table),
                ip,
                standing,
            });
        }
        table.door.instruments.connection_refused();
        if table.refused.count(ip, tokio::time::Instant::now()).count == 1 {
            tracing::warn!(peer = %ip, "too many connections, closing new ones from {ip}");
        }
        None
    }
}

impl SlotTable {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Takes a place where there is one.
    fn take(&mut self, ip: IpAddr, standing: Standing, limits: &LimitsConfig) -> bool {
        let here = self.by_ip.get(&ip).copied().unwrap_or(0);
        let of_standing = match standing {
            // Its clients are many, and only it can tell them apart.
            Standing::Proxy => true,
            Standing::Client => here < limits.max_connections_per_ip,
            Standing::Stranger => {
                here < limits.max_connections_per_ip
                    && self.strangers < limits.max_connections.div_ceil(STRANGERS_SHARE)
            }
        };
        if self.total >= limits.max_connections || !of_standing {
            return false;
        }
        self.total += 1;
        self.strangers += usize::from(standing == Standing::Stranger);
        self.by_ip.insert(ip, here + 1);
        true
    }

    fn give_back(&mut self, ip: IpAddr, standing: Standing) {
        self.total = self.total.saturating_sub(1);
        if standing == Standing::Stranger {
            self.strangers = self.strangers.saturating_sub(1);
        }
        // The entry goes with its last connection, so the table is no larger than what is open.
        if let Some(here) = self.by_ip.get_mut(&ip) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                self.by_ip.remove(&ip);
            }
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.table.open().give_back(self.ip, self.standing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture;

    fn limits() -> LimitsConfig {
        fixture::config().limits
    }

    /// H006: an address has one share, however it is written.
    #[tokio::test]
    async fn caps_hold_by_address_and_places_are_given_back() {
        let limits = LimitsConfig {
            max_connections_per_ip: 1,
            ..limits()
        };
        let slots = Slots::new(fixture::door(limits));
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = slots.take(ip("192.0.2.1"));
        assert!(
            slots.take(ip("::ffff:192.0.2.1")).is_none(),
            "the same address"
        );
        let _other = slots.take(ip("192.0.2.2")).unwrap();
        drop(first);
        assert_eq!(
            slots.0.open().by_ip.len(),
            1,
            "no entry without connections"
        );
        assert!(slots.take(ip("192.0.2.1")).is_some(), "the place is free");
    }

    #[test]
    fn strangers_cannot_take_the_places_of_those_who_may_enter() {
        let limits = LimitsConfig {
            max_connections: 32,
            max_connections_per_ip: 8,
            ..limits()
        };
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut open = Open::default();
        let mut take = |peer: &str, standing| {
            let taken = (0..100).filter(|_| open.take(ip(peer), standing, &limits));
            taken.count()
        };
        assert_eq!(take("203.0.113.1", Standing::Stranger), 2);
        assert_eq!(take("203.0.113.2", Standing::Stranger), 0);
        assert_eq!(take("192.0.2.1", Standing::Client), 8);
        assert_eq!(
            take("192.0.2.2", Standing::Proxy),
            22,
            "a proxy may have all that is left"
        );
        open.give_back(ip("203.0.113.1"), Standing::Stranger);
        assert!(open.take(ip("203.0.113.2"), Standing::Stranger, &limits));
    }
}
