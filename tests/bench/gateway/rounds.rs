//! What was measured in each round, by cell.

use std::collections::HashMap;
use std::hash::Hash;

use super::load::Outcome;
use super::table::Figure;

/// Outcomes by what was measured, in the order of the rounds.
#[derive(Debug)]
pub(crate) struct Rounds<K>(HashMap<K, Vec<Outcome>>);

impl<K> Default for Rounds<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Rounds<K> {
    pub(crate) fn add(&mut self, key: K, outcome: Outcome) {
        self.0.entry(key).or_default().push(outcome);
    }

    /// One quantity of a cell.
    pub(crate) fn figure(&self, key: &K, value: impl Fn(&Outcome) -> Option<f64>) -> Figure {
        Figure::of(self.0.get(key).into_iter().flatten().map(value))
    }

    /// The first error of each cell that had any, and what the cell is called.
    pub(crate) fn complaints(&self, label: impl Fn(&K) -> String) -> impl Iterator<Item = String> {
        self.0.iter().filter_map(move |(key, outcomes)| {
            let complaint = outcomes
                .iter()
                .find_map(|outcome| outcome.complaint.as_ref())?;
            let errors: u64 = outcomes.iter().map(|outcome| outcome.errors).sum();
            Some(format!(
                "{errors} errors in {}, the first: {complaint}",
                label(key)
            ))
        })
    }
}
