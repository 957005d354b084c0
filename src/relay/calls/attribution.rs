//! Which call has caused what a child says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Call, Cause, Open};
use crate::types::PrincipalId;

/// How long a call that was given up may still make the child ask: it was told to stop.
const GHOST: Duration = Duration::from_secs(30);
/// Ghosts that are remembered: with two or more nothing is attributed anyway.
const MAX_GHOSTS: usize = 256;

/// Principals whose calls were given up and may be going on.
#[derive(Debug, Default)]
pub(super) struct Ghosts(Vec<(PrincipalId, Instant)>);

impl Ghosts {
    pub(super) fn add(&mut self, principal: PrincipalId) {
        let now = Instant::now();
        self.0.retain(|(_, until)| *until > now);
        let until = now + GHOST;
        self.0.retain(|(known, _)| *known != principal);
        // Of too many any one keeps the others in question.
        self.0.truncate(MAX_GHOSTS);
        self.0.push((principal, until));
    }

    fn principals(&self) -> impl Iterator<Item = PrincipalId> {
        let now = Instant::now();
        let present = self.0.iter().filter(move |(_, until)| *until > now);
        present.map(|(principal, _)| *principal)
    }
}

impl Open {
    /// The call that has caused a message with this method: the newest of the one party that can have.
    ///
    /// Servers ask for input in the course of tools/call, prompts/get and resources/read; what the
    /// modern era made a rule (MCP 2026-07-28, patterns/mrtr) holds for the servers of the field.
    /// A list of roots may be wanted for anything.
    pub(super) fn cause(&self, method: &str) -> Cause {
        let only_asking = method != "roots/list" && self.calls.values().any(|call| call.asks);
        let mut found: Option<&Arc<Call>> = None;
        let (waiting, active): (Vec<_>, Vec<_>) = self
            .calls
            .values()
            .filter(|call| call.asks || !only_asking)
            .partition(|call| call.waits.load(Ordering::Relaxed));
        for call in active {
            match found {
                Some(other) if other.party != call.party => return Cause::Several,
                Some(other) if other.id > call.id => {}
                Some(_) | None => found = Some(call),
            }
        }
        let stranger = |principal| found.is_none_or(|call| call.principal != principal);
        // What the child still does for them is unknown, and theirs alone to see.
        let mut others = waiting.iter().map(|call| call.principal);
        if others.any(stranger) || self.ghosts.principals().any(stranger) {
            return Cause::Several;
        }
        found.map_or(Cause::Nobody, |call| Cause::One(Arc::clone(call)))
    }
}
