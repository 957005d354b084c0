//! What is wrong with how a server writes its messages, for operators.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::protocol::{Deviation, Misframed};

/// The mistakes of the present or last life of a server.
#[derive(Debug, Default)]
pub(super) struct StdoutFault(Mutex<Mistakes>);

#[derive(Debug, Default)]
struct Mistakes {
    /// The first known one.
    misframed: Option<Misframed>,
    /// Those that did no harm, each once.
    tolerated: Vec<Deviation>,
}

impl StdoutFault {
    fn mistakes(&self) -> MutexGuard<'_, Mistakes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A life begins: what the one before it did wrong is not its own.
    pub(super) fn clear(&self) {
        *self.mistakes() = Mistakes::default();
    }

    /// Looks at a line that is no message; gives the mistake where this is the first of its life.
    pub(super) fn look_at(&self, line: &[u8]) -> Option<Misframed> {
        let mut mistakes = self.mistakes();
        if mistakes.misframed.is_some() {
            return None;
        }
        mistakes.misframed = Misframed::of(line);
        mistakes.misframed
    }

    /// Notes a deviation; `true` where it is the first of its kind in this life.
    pub(super) fn tolerate(&self, deviation: Deviation) -> bool {
        let mut mistakes = self.mistakes();
        let first = !mistakes.tolerated.contains(&deviation);
        if first {
            mistakes.tolerated.push(deviation);
        }
        first
    }

    /// The mistake, as an operator is told of it.
    pub(super) fn told(&self) -> Option<&'static str> {
        self.mistakes().misframed.map(Misframed::as_str)
    }
}
