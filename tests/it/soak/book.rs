//! The balance: what was asked, how each request ended, and what should not have been.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// What should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Finding {
    /// A request without an answer: the connection ended before it.
    Lost,
    /// Something of another caller, or of another request.
    Crossed,
    /// No answer within the deadline and a second.
    Hung,
    /// An answer that has no place here.
    Strange,
    /// Something that outlived its time, or a counter that did not return.
    Leftover,
}

/// Findings of one kind that are kept with their text; beyond that they are only counted.
const KEPT: usize = 10;

#[derive(Debug, Default)]
struct Entries {
    asked: u64,
    ended: BTreeMap<String, u64>,
    findings: BTreeMap<Finding, (u64, Vec<String>)>,
    slowest: Duration,
    control: Vec<Duration>,
    faults: BTreeMap<String, u64>,
}

/// The book that all callers write in.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: Mutex<Entries>,
}

impl Book {
    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap()
    }

    /// A request is about to be sent.
    pub(super) fn asked(&self) {
        self.entries().asked += 1;
    }

    /// It ended like this, after this time.
    pub(super) fn ended(&self, outcome: &str, took: Duration) {
        let mut entries = self.entries();
        *entries.ended.entry(outcome.to_owned()).or_default() += 1;
        entries.slowest = entries.slowest.max(took);
    }

    /// The healthy server answered after this time.
    pub(super) fn control(&self, took: Duration) {
        self.entries().control.push(took);
    }

    /// This was done to a server.
    pub(super) fn fault(&self, fault: String) {
        *self.entries().faults.entry(fault).or_default() += 1;
    }

    /// Something that should not be.
    pub(super) fn find(&self, finding: Finding, text: String) {
        let mut entries = self.entries();
        let (count, texts) = entries.findings.entry(finding).or_default();
        *count += 1;
        if texts.len() < KEPT {
            texts.push(text);
        }
    }

    /// The balance for a reader, and whether it is even.
    pub(super) fn close(self) -> (String, bool) {
        let mut entries = self.entries.into_inner().unwrap();
        let ended: u64 = entries.ended.values().sum();
        let mut lines = vec![format!("asked {}, ended {ended}", entries.asked)];
        for (outcome, count) in &entries.ended {
            lines.push(format!("  {outcome}: {count}"));
        }
        lines.push(format!("slowest: {:?}", entries.slowest));
        entries.control.sort_unstable();
        let at = |hundredth: usize| {
            let index = entries.control.len().saturating_sub(1) * hundredth / 100;
            entries.control.get(index).copied().unwrap_or_default()
        };
        lines.push(format!(
            "control: {} calls, p50 {:?}, p99 {:?}, slowest {:?}",
            entries.control.len(),
            at(50),
            at(99),
            at(100)
        ));
        let mut even = entries.asked == ended;
        let faults = entries.faults.iter();
        let faults: Vec<String> = faults
            .map(|(fault, count)| format!("{count} {fault}"))
            .collect();
        lines.push(format!("faults: {}", faults.join(", ")));
        for finding in [
            Finding::Lost,
            Finding::Crossed,
            Finding::Hung,
            Finding::Strange,
            Finding::Leftover,
        ] {
            let (count, texts) = entries.findings.remove(&finding).unwrap_or_default();
            lines.push(format!("{finding:?}: {count}").to_lowercase());
            lines.extend(texts.into_iter().map(|text| format!("  {text}")));
            even &= count == 0;
        }
        (lines.join("\n"), even)
    }
}
