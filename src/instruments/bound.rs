//! Histograms bound to the sets of labels that really occur.
//!
//! The SDK looks the aggregate of a measurement up by its labels, which hashes every name and value of them. A
//! message would pay for that three times; here it pays for a key of a few words.

use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

use opentelemetry::metrics::BoundHistogram;
use rustc_hash::FxHashMap;

/// The aggregates of one histogram that were recorded into so far. Keys are of closed sets, as labels are, so there
/// are never many.
#[derive(Debug)]
pub(super) struct Bound<K>(RwLock<FxHashMap<K, BoundHistogram<f64>>>);

impl<K> Default for Bound<K> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<K: Copy + Eq + Hash> Bound<K> {
    /// Records into the aggregate of `key`, which `bind` finds when it is the first time.
    pub(super) fn record(&self, key: K, value: f64, bind: impl FnOnce() -> BoundHistogram<f64>) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(histogram) = known.get(&key) {
            return histogram.record(value);
        }
        drop(known);
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(key).or_insert_with(bind).record(value);
    }
}
