//! What the supervisor tells the hub of a child's own messages.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::filter::List;
use super::{
    Capabilities, Hearer, Hub, Life, Mark, SubscriptionChange, Told, UpstreamListen, Users,
};
use crate::instruments::DropReason;
use crate::protocol::message::string;
use crate::protocol::splice::into_frame;
use crate::protocol::{Deviation, Envelope, Era, Level, Misframed};
use crate::supervisor::{Handshake, Listener, Owner};
use crate::types::{Incarnation, PrincipalId};

impl Listener for Hub {
    fn notification(
        &self,
        incarnation: Incarnation,
        method: &str,
        line: &Bytes,
        envelope: &Envelope,
    ) {
        let told = Told::new(line, envelope);
        if let Some(list) = List::of_method(method) {
            if list == List::Tools {
                self.calls.tools_changed();
            }
            if let Some(audience) = self.audience(&told, line) {
                self.deliver(&told, |hearer| {
                    audience.includes(hearer) && hearer.lists.has(list)
                });
            }
            return;
        }
        match method {
            "notifications/resources/updated" => self.updated(&told, line, envelope),
            "notifications/message" => self.log(incarnation, &told, line, envelope),
            "notifications/subscriptions/acknowledged" => {
                if let Some(id) = told.subscription().and_then(|id| number(id.of(line))) {
                    self.acknowledged(id);
                }
            }
            "notifications/cancelled" => self.cancelled(incarnation, line, envelope),
            _ => self.other(&told, method, line, envelope),
        }
    }

    fn request(
        &self,
        incarnation: Incarnation,
        method: &str,
        line: &Bytes,
        envelope: &Envelope,
    ) -> Option<Bytes> {
        if method != "ping" {
            return self.calls.ask(incarnation, method, line, envelope);
        }
        let id = envelope.id.map_or(&[][..], |id| id.of(line));
        let answer = [br#"{"jsonrpc":"2.0","id":"#, id, br#","result":{}}"#].concat();
        Some(into_frame(answer).into())
    }

    fn lost(&self, incarnation: Incarnation) {
        let mut state = self.state();
        // Its `ready` may come after this.
        state.over = state.over.max(incarnation);
        state.life = state.life.filter(|life| life.incarnation > incarnation);
        drop(state);
        self.calls.lost(incarnation);
    }

    fn unexpected_answer(&self, incarnation: Incarnation, id: u64) {
        self.calls.answered_late(incarnation, id);
    }

    fn dropped(&self, why: DropReason, bytes: usize) {
        self.instruments.dropped(why);
        tracing::debug!(server_id = %self.server, reason = why.as_str(), bytes, "dropped a message of the server");
    }

    fn tolerated(&self, deviation: Deviation, first: bool) {
        self.instruments.tolerated(deviation.as_str());
        if first {
            let id = &self.server;
            tracing::info!(server_id = %id, deviation = deviation.as_str(), "server {id} {}; taken as meant", deviation.sentence());
        }
    }

    fn is_behind(&self, waited: Duration) -> bool {
        let mut pressure = self.pressure();
        // Asked after every line: usually it is nobody, and then the time does not matter.
        let is_idle = waited.is_zero() && pressure.is_empty();
        !is_idle
            && pressure.is_felt(waited, Instant::now(), |principal| {
                let handle = self.handle.get();
                handle.is_some_and(|handle| handle.mux().others_wait(principal))
            })
    }

    fn misframed(&self, mistake: Misframed) {
        let mistake = mistake.as_str();
        tracing::warn!(server_id = %self.server, mistake, "the server {mistake}");
    }

    /// A new child knows nothing of what the old one was told, and its lists may be others.
    fn handshake_completed(&self, incarnation: Incarnation, handshake: &Handshake) {
        let mut state = self.state();
        if incarnation <= state.over {
            return;
        }
        state.users = Users::Nobody;
        state.told_level = None;
        for listen in state.listens.values_mut() {
            *listen = UpstreamListen::default();
        }
        state.life = Some(Life {
            incarnation,
            era: handshake.era,
            capabilities: Capabilities::read(&handshake.capabilities),
            is_ready: false,
        });
        state.changes.clear();
        state.told.begin_life(incarnation);
        for (uri, principal) in state.wanted_by() {
            state
                .changes
                .add(principal, uri, SubscriptionChange::Subscribe);
        }
        self.send_changes(&mut state);
        drop(state);
        // It knows of no level yet, and what it is asked next may want one.
        drop(self.tell_level(Owner::Server));
        self.wishes_changed();
    }

    /// Clients are told only now: one that asked for the lists any earlier would be shown them without this server's.
    fn ready(&self, incarnation: Incarnation) {
        let mut state = self.state();
        let Some(life) = &mut state.life else { return };
        if life.incarnation != incarnation {
            return;
        }
        life.is_ready = true;
        let era = life.era;
        // A life that ended before it was ready, as at the era probe, has shown nobody anything.
        if state.was_ready || state.shown_without {
            state.all_unannounced();
        }
        state.was_ready = true;
        drop(state);
        match era {
            Era::Legacy => self.announce_new_life(|_| true),
            // Told first what everybody wants, so that no change is missed after this.
            Era::Modern => self.wishes_changed(),
        }
    }
}

impl Hub {
    /// Tells the clients of the picked principals to look at the lists again, once in each life of the child, in the
    /// first only where somebody may have missed them.
    pub(super) fn announce_new_life(&self, pick: impl Fn(PrincipalId) -> bool) {
        let mut state = self.state();
        let Some(life) = state.ready_life() else {
            return;
        };
        let all = std::mem::take(&mut state.unannounced);
        let (told, later): (BTreeSet<_>, BTreeSet<_>) = all.into_iter().partition(|one| pick(*one));
        state.unannounced = later;
        if told.is_empty() {
            return;
        }
        let principals = told;
        let lists = life.capabilities.lists;
        drop(state);
        for list in List::ALL.into_iter().filter(|list| lists.has(*list)) {
            self.announce(list, |principal| principals.contains(&principal));
        }
    }

    /// Tells the clients of a principal to ask for a list again.
    pub(in crate::relay) fn announce_list(&self, list: List, principal: PrincipalId) {
        self.announce(list, |one| one == principal);
    }

    fn announce(&self, list: List, pick: impl Fn(PrincipalId) -> bool) {
        let told = Told::own(format!(
            r#"{{"jsonrpc":"2.0","method":"{}"}}"#,
            list.method()
        ));
        self.deliver(&told, |hearer| {
            hearer.lists.has(list) && pick(hearer.principal)
        });
    }

    /// Tells one client to look at the lists again: by `tell` now, or with everybody when the first life of the child
    /// begins.
    pub(in crate::relay) fn announce_lists(&self, tell: impl Fn(Bytes)) {
        let mut state = self.state();
        let Some(life) = state.ready_life() else {
            state.shown_without = true;
            return;
        };
        drop(state);
        let lists = List::ALL.into_iter();
        for list in lists.filter(|list| life.capabilities.lists.has(*list)) {
            tell(format!(r#"{{"jsonrpc":"2.0","method":"{}"}}"#, list.method()).into());
        }
    }

    /// Whose clients a notification about lists or resources is passed on to: everybody's what a legacy child says,
    /// and what a modern one sends on the present listen of a principal that principal's.
    fn audience(&self, told: &Told, line: &Bytes) -> Option<Audience> {
        let state = self.state();
        if state.life.is_none_or(|life| life.era == Era::Legacy) {
            return Some(Audience::Everybody);
        }
        let id = told.subscription().and_then(|id| number(id.of(line)));
        let mut listens = state.listens.iter();
        let own = listens.find(|(_, listen)| id.is_some() && listen.current == id);
        if let Some((&principal, _)) = own {
            return Some(Audience::One(principal));
        }
        drop(state);
        // On another listen it is one that was replaced or comes to replace: the present one has it too.
        if id.is_none() {
            self.dropped(DropReason::Unattributed, line.len());
        }
        None
    }

    fn updated(&self, told: &Told, line: &Bytes, envelope: &Envelope) {
        let uri = envelope.params.and_then(|params| params.uri);
        let Some(uri) = uri.and_then(|span| string(span.of(line))) else {
            return self.dropped(DropReason::GarbageLine, line.len());
        };
        if let Some(audience) = self.audience(told, line) {
            self.deliver(told, |hearer| {
                audience.includes(hearer) && hearer.resources.contains(&uri)
            });
        }
    }

    /// A log message goes to the call that wants it, or to the sessions of the one it can be meant for.
    fn log(&self, incarnation: Incarnation, told: &Told, line: &Bytes, envelope: &Envelope) {
        if self.calls.log(incarnation, line, envelope) {
            return;
        }
        let Some(addressee) = self.addressee() else {
            return self.dropped(DropReason::Unattributed, line.len());
        };
        let level = envelope
            .params
            .and_then(|params| Level::of_params(params.span.of(line)));
        // What bears no level cannot be below one.
        let loud = |hearer: &Hearer| {
            let wanted = hearer.level().zip(level);
            wanted.is_none_or(|(wanted, level)| level >= wanted)
        };
        self.deliver(told, |hearer| {
            let legacy = matches!(hearer.mark, Mark::Legacy { .. });
            legacy && hearer.principal == addressee && loud(hearer)
        });
    }

    /// A notification that the gateway does not know crosses as it is where it is known whom it is for: the call whose
    /// progress token it bears, the session whose elicitation or task it names, or all who hear a child of their own.
    fn other(&self, told: &Told, method: &str, line: &Bytes, envelope: &Envelope) {
        let params = envelope.params.unwrap_or_default();
        let token = params.progress_token;
        let token = token.or_else(|| params.meta.and_then(|meta| meta.progress_token));
        let observed = token.and_then(|token| {
            let observer = self.handle.get()?.mux().observer(number(token.of(line))?)?;
            Some((observer, token))
        });
        if let Some((observer, token)) = observed {
            return observer.progress(line, token);
        }
        if let Some(session) = self.calls.session_of(method, params.span.of(line)) {
            let key = session.ear(self).map(|ear| ear.key());
            return self.deliver_by_key(told, |own, _| Some(own) == key);
        }
        if !self.is_owned {
            return self.dropped(DropReason::Unattributed, line.len());
        }
        self.deliver(told, |hearer| matches!(hearer.mark, Mark::Legacy { .. }));
    }

    /// The one principal that a message of the child can be meant for: the only one who has used this
    /// life of it, or the only one who waits for an answer right now.
    fn addressee(&self) -> Option<PrincipalId> {
        let users = self.state().users;
        match users {
            Users::Nobody => None,
            Users::One(principal) => Some(principal),
            Users::Several => self
                .handle
                .get()
                .and_then(|handle| handle.mux().sole_principal()),
        }
    }

    /// A modern child may end a listen so (MCP 2026-07-28, basic/patterns/cancellation), a legacy one withdraws what it
    /// asked a client.
    fn cancelled(&self, incarnation: Incarnation, line: &Bytes, envelope: &Envelope) {
        let params = envelope.params.unwrap_or_default();
        let asked = params.request_id.map(|id| id.of(line));
        let id = asked.and_then(number);
        let state = self.state();
        let mut listens = state.listens.values();
        let ours =
            id.is_some() && listens.any(|listen| id == listen.current || id == listen.opening);
        drop(state);
        if let (true, Some(id), Some(handle)) = (ours, id, self.handle.get()) {
            // The keeper sees that it is gone.
            return handle.mux().abandon(id);
        }
        let params = params.span.of(line);
        let withdrawn = asked.is_some_and(|id| self.calls.withdraw(incarnation, id, params));
        if !withdrawn {
            self.dropped(DropReason::Unattributed, line.len());
        }
    }
}

/// Whose clients hear a message.
#[derive(Clone, Copy, Debug)]
enum Audience {
    Everybody,
    One(PrincipalId),
}

impl Audience {
    fn includes(self, hearer: &Hearer) -> bool {
        match self {
            Self::Everybody => true,
            Self::One(principal) => hearer.principal == principal,
        }
    }
}

/// An id that we minted, as the child gives it back.
fn number(json: &[u8]) -> Option<u64> {
    std::str::from_utf8(json).ok()?.parse().ok()
}
