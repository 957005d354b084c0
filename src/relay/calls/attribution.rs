//! Which call has caused what a child says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{Call, Cause, Open};
use crate::types::{Incarnation, PrincipalId};

/// How long a call that was given up may still make the child ask: it was told to stop.
const GHOST: Duration = Duration::from_secs(30);
/// Ghosts that are remembered: with two or more nothing is attributed anyway.
const MAX_GHOSTS: usize = 256;
/// Calls of one ghost that are told apart.
const MAX_CALLS: usize = 64;

/// Principals whose calls were given up and may be going on.
#[derive(Debug, Default)]
pub(super) struct Ghosts(Vec<Ghost>);

/// A principal whose calls were given up, in one life of the child.
#[derive(Debug)]
struct Ghost {
    principal: PrincipalId,
    incarnation: Incarnation,
    until: Instant,
    /// The calls that the child has not answered since.
    calls: Vec<u64>,
    /// There were more of them than are told apart.
    has_more: bool,
}

impl Ghosts {
    /// Adds a call that was given up.
    pub(super) fn add(&mut self, principal: PrincipalId, incarnation: Incarnation, call: u64) {
        let now = Instant::now();
        self.0.retain(|ghost| ghost.until > now);
        let mut known = self.0.iter();
        let known = known
            .position(|ghost| (ghost.principal, ghost.incarnation) == (principal, incarnation));
        let known = known.map(|at| self.0.swap_remove(at));
        let mut ghost = known.unwrap_or(Ghost {
            principal,
            incarnation,
            until: now,
            calls: Vec::new(),
            has_more: false,
        });
        ghost.until = now + GHOST;
        if ghost.calls.len() < MAX_CALLS {
            ghost.calls.push(call);
        } else {
            ghost.has_more = true;
        }
        // Of too many any one keeps the others in question.
        self.0.truncate(MAX_GHOSTS);
        self.0.push(ghost);
    }

    /// Takes a call out that the child has answered after all.
    pub(super) fn remove(&mut self, incarnation: Incarnation, call: u64) {
        for ghost in &mut self.0 {
            if ghost.incarnation == incarnation {
                ghost.calls.retain(|known| *known != call);
            }
        }
        self.0
            .retain(|ghost| ghost.has_more || !ghost.calls.is_empty());
    }

    /// Those in this life: what an earlier one was at went with it.
    fn principals(&self, incarnation: Incarnation) -> impl Iterator<Item = PrincipalId> {
        let now = Instant::now();
        let present = self.0.iter();
        let present =
            present.filter(move |ghost| ghost.until > now && ghost.incarnation == incarnation);
        present.map(|ghost| ghost.principal)
    }
}

impl Open {
    /// The call that has caused a message with this method: the newest of the one party that can have.
    ///
    /// Servers ask for input in the course of tools/call, prompts/get and resources/read; what the
    /// modern era made a rule (MCP 2026-07-28, patterns/mrtr) holds for the servers of the field.
    /// A list of roots may be wanted for anything. A call that was not `written` causes nothing yet.
    pub(super) fn cause(
        &self,
        incarnation: Incarnation,
        method: &str,
        written: impl Fn(u64) -> bool,
    ) -> Cause {
        let asking = |call: &Arc<Call>| call.asks && written(call.id);
        let only_asking = method != "roots/list" && self.calls.values().any(asking);
        let mut found: Option<&Arc<Call>> = None;
        let (waiting, active): (Vec<_>, Vec<_>) = self
            .calls
            .values()
            .filter(|call| call.asks || !only_asking)
            .partition(|call| call.waits.load(Ordering::Relaxed));
        for call in active.into_iter().filter(|call| written(call.id)) {
            match found {
                Some(other) if other.party != call.party => return Cause::Several,
                Some(other) if other.id > call.id => {}
                Some(_) | None => found = Some(call),
            }
        }
        let stranger = |principal| found.is_none_or(|call| call.principal != principal);
        // What the child still does for them is unknown, and theirs alone to see.
        let mut others = waiting.iter().map(|call| call.principal);
        if others.any(stranger) || self.ghosts.principals(incarnation).any(stranger) {
            return Cause::Several;
        }
        found.map_or(Cause::Nobody, |call| Cause::One(Arc::clone(call)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::{Mutex, Weak};

    use super::*;
    use crate::relay::calls::{Party, Reach, Voice};

    /// A call of one that has a session where `session` is not empty.
    fn call(id: u64, principal: u32, session: &str, asks: bool) -> Call {
        Call {
            id,
            party: if session.is_empty() {
                Party::Call(id)
            } else {
                Party::Session(session.into())
            },
            principal: PrincipalId(principal),
            calls: Weak::new(),
            asks,
            level: None,
            reach: Reach::None,
            voice: Mutex::new(Voice::default()),
            waits: AtomicBool::new(false),
        }
    }

    fn open(calls: impl IntoIterator<Item = Call>) -> Open {
        Open {
            calls: calls
                .into_iter()
                .map(|call| (call.id, Arc::new(call)))
                .collect(),
            ghosts: Ghosts::default(),
        }
    }

    /// The id of the call that has caused it, or `nobody` or `several`.
    fn cause(open: &Open, method: &str) -> String {
        match open.cause(LIFE, method, |id| id != UNWRITTEN) {
            Cause::One(call) => call.id.to_string(),
            Cause::Nobody => "nobody".to_owned(),
            Cause::Several => "several".to_owned(),
        }
    }

    const ASK: &str = "elicitation/create";
    const LIFE: Incarnation = Incarnation(7);
    /// A call that waits to be written.
    const UNWRITTEN: u64 = 99;

    #[test]
    fn the_newest_call_of_the_only_party_has_caused_it() {
        assert_eq!(cause(&open([]), ASK), "nobody");
        assert_eq!(cause(&open([call(1, 1, "", true)]), ASK), "1");
        let session = [
            call(1, 1, "s", true),
            call(3, 1, "s", true),
            call(2, 1, "s", true),
        ];
        assert_eq!(cause(&open(session), ASK), "3");
    }

    #[test]
    fn where_several_parties_can_have_caused_it_nobody_is_asked() {
        for other in [
            call(2, 2, "t", true),
            call(2, 1, "t", true),
            call(2, 1, "", true),
        ] {
            assert_eq!(cause(&open([call(1, 1, "s", true), other]), ASK), "several");
        }
    }

    #[test]
    fn a_list_causes_no_question_while_there_is_a_call_that_can() {
        let calls = || [call(1, 1, "s", true), call(2, 2, "t", false)];
        assert_eq!(cause(&open(calls()), ASK), "1");
        assert_eq!(cause(&open(calls()), "roots/list"), "several");
        assert_eq!(cause(&open([call(2, 2, "t", false)]), ASK), "2");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_given_up_keeps_strangers_in_question_for_a_while() {
        let mut open = open([call(1, 1, "s", true)]);
        open.ghosts.add(PrincipalId(1), LIFE, 8);
        assert_eq!(cause(&open, ASK), "1", "its own principal is no stranger");
        open.ghosts.add(PrincipalId(2), LIFE, 9);
        assert_eq!(cause(&open, ASK), "several");
        tokio::time::advance(GHOST).await;
        assert_eq!(cause(&open, ASK), "1");
    }

    /// RA07: what was written to no life, or to one that is over, causes nothing.
    #[test]
    fn only_a_call_that_may_still_be_running_counts() {
        let calls = [call(1, 1, "s", true), call(UNWRITTEN, 2, "t", true)];
        assert_eq!(cause(&open(calls), ASK), "1");
        let mut open = open([call(1, 1, "s", true)]);
        open.ghosts.add(PrincipalId(2), Incarnation(6), 5);
        assert_eq!(cause(&open, ASK), "1", "an earlier life");
        open.ghosts.add(PrincipalId(2), LIFE, 9);
        assert_eq!(cause(&open, ASK), "several");
    }

    /// RA07: a call that was given up, such as one whose turn was taken, counts until the child has answered it.
    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_answered_late_is_not_running() {
        let mut open = open([call(1, 1, "s", true)]);
        for id in [9, 10] {
            open.ghosts.add(PrincipalId(2), LIFE, id);
        }
        open.ghosts.remove(LIFE, 9);
        open.ghosts.remove(Incarnation(6), 10);
        assert_eq!(cause(&open, ASK), "several", "one is not answered");
        open.ghosts.remove(LIFE, 10);
        assert_eq!(cause(&open, ASK), "1");
        let many = 0..2 * u64::try_from(MAX_CALLS).unwrap();
        for id in many.clone() {
            open.ghosts.add(PrincipalId(2), LIFE, id);
        }
        for id in many.take(MAX_CALLS) {
            open.ghosts.remove(LIFE, id);
        }
        assert_eq!(cause(&open, ASK), "several", "others are not answered");
    }

    #[test]
    fn a_call_that_waits_for_its_client_gives_way_to_its_own_principal_alone() {
        let open = open([call(1, 1, "", true), call(2, 1, "", true)]);
        assert_eq!(cause(&open, ASK), "several");
        open.calls[&1].waits.store(true, Ordering::Relaxed);
        assert_eq!(cause(&open, ASK), "2");
        let open = self::open([call(1, 2, "", true), call(2, 1, "", true)]);
        open.calls[&1].waits.store(true, Ordering::Relaxed);
        assert_eq!(cause(&open, ASK), "several");
    }
}
