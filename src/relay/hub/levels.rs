//! The level of a child's logs: a legacy child has one for all its clients, and gets the most talkative
//! that anybody wants. Who wants less is spared the rest here.
//!
//! While nobody ever asked for a level, the child keeps its own. What that was is not known, so it cannot be given
//! back. A client that never asked is taken for one that wants [`USUAL`] at least: others who want less do not silence
//! it, and when the last who asked is gone, the child is told that.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::child::{answered, ask};
use super::{Hub, State};
use crate::fault::Fault;
use crate::protocol::{Era, Level};
use crate::supervisor::{Outcome, Owner, Submission};
use crate::types::PrincipalId;

const METHOD: &str = "logging/setLevel";
/// What a client gets that never set a level; also what a modern child is told for such a client.
pub(in crate::relay) const USUAL: Level = Level::Info;

/// The child logs from this level on, for as long as one call runs that wants to hear of it.
#[derive(Debug)]
#[must_use = "dropping it takes the level back"]
pub(in crate::relay) struct Raised {
    hub: Arc<Hub>,
    key: u64,
    principal: PrincipalId,
}

/// A level that the child was told.
pub(super) struct Change {
    before: Option<Level>,
    now: Level,
    answer: oneshot::Receiver<Outcome>,
}

impl Hub {
    /// Tells a legacy child the level that its clients want by now, where that is another than before;
    /// its error is the fault. Cancel safe: the child is told all the same.
    pub(in crate::relay) async fn level_changed(&self, by: PrincipalId) -> Result<(), Fault> {
        let Some(change) = self.tell_level(Owner::Principal(by)) else {
            return Ok(());
        };
        let answered = answered(METHOD, change.answer).await;
        let mut state = self.state();
        if answered.is_err() && state.told_level == Some(change.now) {
            state.told_level = change.before;
        }
        answered
    }

    /// Has a legacy child log from this level on, for one call of a modern client.
    ///
    /// What this principal sends after this is read by the child after the new level.
    pub(in crate::relay) fn raise(
        self: &Arc<Self>,
        level: Level,
        principal: PrincipalId,
    ) -> Raised {
        let mut state = self.state();
        let key = state.key();
        state.raised.insert(key, level);
        drop(state);
        drop(self.tell_level(Owner::Principal(principal)));
        Raised {
            hub: Arc::clone(self),
            key,
            principal,
        }
    }

    /// Tells the child at once, on behalf of this owner, without waiting for what it says to it.
    pub(super) fn tell_level(&self, by: Owner) -> Option<Change> {
        let mut state = self.state();
        let now = state.wanted_level()?;
        let (handle, life) = self.alive(&state)?;
        if life.era != Era::Legacy || !life.capabilities.logging || state.told_level == Some(now) {
            return None;
        }
        let params = format!(r#"{{"level":"{}"}}"#, now.as_str());
        let answer = ask(
            handle,
            handle.mux().mint(),
            METHOD,
            &params,
            Submission::own_for(by),
        )
        .ok()?;
        Some(Change {
            before: state.told_level.replace(now),
            now,
            answer,
        })
    }
}

impl State {
    /// The most talkative level that anybody wants; `None` where the child's own will do.
    fn wanted_level(&self) -> Option<Level> {
        let of_ears = self.hearers.values().filter_map(super::Hearer::level);
        let said = of_ears.chain(self.raised.values().copied()).min();
        let never_said =
            |hearer: &super::Hearer| matches!(hearer.mark, super::Mark::Legacy { level: None });
        let others = self.hearers.values().any(never_said);
        match (said, self.told_level) {
            (Some(said), _) if !others => Some(said),
            (Some(said), None) if said <= USUAL => Some(said),
            // Nobody has told it anything that would have to be undone.
            (_, None) => None,
            (said, Some(_)) => Some(said.map_or(USUAL, |said| said.min(USUAL))),
        }
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        self.hub.state().raised.remove(&self.key);
        self.hub.tell_level(Owner::Principal(self.principal));
    }
}
