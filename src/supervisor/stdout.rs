//! What is wrong with how a server writes its messages, for operators.

use std::sync::{Mutex, PoisonError};

use crate::protocol::Misframed;

/// The first known mistake in the present or last life of a server.
#[derive(Debug, Default)]
pub(super) struct StdoutFault(Mutex<Option<Misframed>>);

impl StdoutFault {
    /// A life begins: what the one before it did wrong is not its own.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Looks at a line that is no message; gives the mistake where this is the first of its life.
    pub(super) fn look_at(&self, line: &[u8]) -> Option<Misframed> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some() {
            return None;
        }
        *known = Misframed::of(line);
        *known
    }

    /// The mistake, as an operator is told of it.
    pub(super) fn told(&self) -> Option<&'static str> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.map(Misframed::as_str)
    }
}
