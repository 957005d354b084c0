//! How full the servers' tables are, looked at when metrics are collected: nothing is counted on the way
//! of a message.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::own;

/// Requests in flight and requests that wait; `None` once there is nothing to look at.
type Look = Box<dyn Fn() -> Option<(u64, u64)> + Send + Sync>;

/// Everything that is looked at.
#[derive(Clone)]
pub(super) struct Loads(Arc<Mutex<Vec<(KeyValue, Look)>>>);

impl Loads {
    pub(super) fn new(meter: &Meter) -> Self {
        let loads = Self(Arc::default());
        let (in_flight, queued) = (loads.clone(), loads.clone());
        meter
            .u64_observable_gauge(own!("server.in_flight"))
            .with_unit("{request}")
            .with_description("requests written to the child and not answered")
            .with_callback(move |observer| in_flight.observe(observer, |(in_flight, _)| in_flight))
            .build();
        meter
            .u64_observable_gauge(own!("server.queued"))
            .with_unit("{request}")
            .with_description("requests that wait to be written to the child")
            .with_callback(move |observer| queued.observe(observer, |(_, queued)| queued))
            .build();
        loads
    }

    pub(super) fn watch(&self, server: KeyValue, look: Look) {
        self.watched().push((server, look));
    }

    fn observe(&self, observer: &dyn AsyncInstrument<u64>, which: impl Fn((u64, u64)) -> u64) {
        for (server, look) in self.watched().iter() {
            if let Some(load) = look() {
                observer.observe(which(load), std::slice::from_ref(server));
            }
        }
    }

    fn watched(&self) -> MutexGuard<'_, Vec<(KeyValue, Look)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Loads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loads")
            .field("watched", &self.watched().len())
            .finish()
    }
}
