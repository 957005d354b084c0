//! Which slow calls were cancelled, so that a client can learn that its cancellation arrived.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::peer::lock;

/// How long [`Cancelled::await_label`] waits.
const PATIENCE: Duration = Duration::from_secs(5);

/// The labels of cancelled calls, of all connections.
#[derive(Debug, Default)]
pub(crate) struct Cancelled {
    labels: Mutex<BTreeSet<String>>,
    noted: Condvar,
}

impl Cancelled {
    /// Notes that the call with this label was cancelled.
    pub(crate) fn note(&self, label: &str) {
        lock(&self.labels).insert(label.to_owned());
        self.noted.notify_all();
    }

    /// Waits until the call with this label is cancelled; `false` if it is not within five seconds.
    pub(crate) fn await_label(&self, label: &str) -> bool {
        let unknown = |labels: &mut BTreeSet<String>| !labels.contains(label);
        let waited = self
            .noted
            .wait_timeout_while(lock(&self.labels), PATIENCE, unknown)
            .unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }
}
