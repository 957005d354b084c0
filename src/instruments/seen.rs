//! How the servers are, looked at when metrics are collected: nothing is counted on the way of a message.
//!
//! A server may have several instances at a time. They share one set of attributes, or every session
//! would make series of its own, so their numbers are added up: each collection sees one value a series.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::own;

/// The words that the state gauge has a series for; `supervisor::State::as_str` gives one of them.
const STATES: [&str; 7] = [
    "stopped",
    "starting",
    "ready",
    "unhealthy",
    "backoff",
    "stopping",
    "failed",
];

/// How one instance of a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its state, by its word in `/servers`.
    pub state: &'static str,
    /// Requests written to the child and not answered.
    pub in_flight: u64,
    /// Requests that wait to be written.
    pub queued: u64,
}

/// `None` once the instance is gone.
type Look = Box<dyn Fn() -> Option<Seen> + Send + Sync>;

/// Everything that is looked at.
#[derive(Clone)]
pub(super) struct Watched(Arc<Mutex<Servers>>);

/// The looks of each server, in the order in which the first of each came.
type Servers = Vec<(KeyValue, Vec<Look>)>;

impl Watched {
    pub(super) fn new(meter: &Meter) -> Self {
        let watched = Self(Arc::default());
        let (states, in_flight, queued) = (watched.clone(), watched.clone(), watched.clone());
        meter
            .u64_observable_gauge(own!("server.state"))
            .with_description(
                "instances of a server in each state; of a shared server 1 for its state, 0 for the others",
            )
            .with_callback(move |observer| states.observe_states(observer))
            .build();
        meter
            .u64_observable_gauge(own!("server.in_flight"))
            .with_unit("{request}")
            .with_description("requests written to the child and not answered")
            .with_callback(move |observer| in_flight.observe(observer, |seen| seen.in_flight))
            .build();
        meter
            .u64_observable_gauge(own!("server.queued"))
            .with_unit("{request}")
            .with_description("requests that wait to be written to the child")
            .with_callback(move |observer| queued.observe(observer, |seen| seen.queued))
            .build();
        watched
    }

    /// Looks at one more instance, until its look gives `None`.
    ///
    /// Forgets those that are gone, which a collection would do as well: but where nobody collects, an
    /// instance for each session would leave its look behind for good.
    pub(super) fn watch(&self, server: KeyValue, look: Look) {
        let mut watched = self.lock();
        watched.retain_mut(|(_, looks)| {
            looks.retain(|look| look().is_some());
            !looks.is_empty()
        });
        match watched.iter_mut().find(|(known, _)| *known == server) {
            Some((_, looks)) => looks.push(look),
            None => watched.push((server, vec![look])),
        }
    }

    fn observe(&self, observer: &dyn AsyncInstrument<u64>, which: impl Fn(&Seen) -> u64) {
        self.each(|server, seen| {
            observer.observe(seen.iter().map(&which).sum(), std::slice::from_ref(server));
        });
    }

    fn observe_states(&self, observer: &dyn AsyncInstrument<u64>) {
        self.each(|server, seen| {
            for state in STATES {
                let count = seen.iter().filter(|seen| seen.state == state).count();
                let labels = [server.clone(), KeyValue::new(own!("state"), state)];
                observer.observe(count as u64, &labels);
            }
        });
    }

    /// Looks at every instance and forgets those that are gone. A server without any has no series.
    fn each(&self, found: impl Fn(&KeyValue, &[Seen])) {
        self.lock().retain_mut(|(server, looks)| {
            let mut seen = Vec::with_capacity(looks.len());
            looks.retain(|look| look().map(|now| seen.push(now)).is_some());
            if !seen.is_empty() {
                found(server, &seen);
            }
            !looks.is_empty()
        });
    }

    fn lock(&self) -> MutexGuard<'_, Servers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched")
            .field("servers", &self.lock().len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn instances_that_are_gone_are_forgotten_though_nobody_collects() {
        let meter = opentelemetry::global::meter("test");
        let watched = Watched::new(&meter);
        let seen = Seen {
            state: "ready",
            in_flight: 0,
            queued: 0,
        };
        let present = Arc::new(seen);
        for number in 0..1000 {
            // Each instance but the first of all is gone when the next one comes.
            let instance = Arc::new(seen);
            let kept = if number == 0 { &present } else { &instance };
            let kept = Arc::downgrade(kept);
            let server = KeyValue::new("server", format!("{}", number % 10));
            watched.watch(server, Box::new(move || Some(*kept.upgrade()?)));
        }
        let looks: usize = watched.lock().iter().map(|(_, looks)| looks.len()).sum();
        assert_eq!(looks, 2, "the first, and the last that came");
        assert_eq!(watched.lock().len(), 2);
    }
}
