//! Starts that tell the server of no client capabilities, after one in which it read `initialize` and said nothing.
//!
//! Servers on old strict libraries fail on capabilities that are newer than they are. Most answer with an error, which
//! the handshake deals with; some drop the message, and show that by their silence only.

use super::{Action, Machine, Next, State};
use crate::supervisor::config::Config;

/// The findings about a server and client capabilities.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BareStart {
    /// There are capabilities to leave out.
    has_capabilities: bool,
    /// The present life, or the next one, is told of none.
    bare: bool,
    /// It was tried since the server was ready, or ordered to start.
    tried: bool,
}

impl BareStart {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            has_capabilities: &*config.client_capabilities != "{}",
            bare: false,
            tried: false,
        }
    }

    /// An operator wants a new beginning.
    pub(super) fn forget(&mut self) {
        (self.bare, self.tried) = (false, false);
    }

    /// A life has ended in which the server was ready: the next is told of everything, unless it is known by then that this
    /// server is silent on it. A slow start is silent too.
    pub(super) fn was_ready(&mut self) {
        (self.bare, self.tried) = (false, false);
    }

    /// The present life has failed: the next is told of everything.
    pub(super) fn failed(&mut self) {
        self.bare = false;
    }
}

impl Machine {
    /// True where the present life is told of no client capabilities; `known` says that the program was found to need that.
    pub(in crate::supervisor) fn is_bare(&mut self, known: bool) -> bool {
        self.bare_start.bare |= known && self.bare_start.has_capabilities;
        self.bare_start.bare
    }

    // Starting => Stopping(Start), where the time for a handshake is over
    pub(super) fn retry_bare(&mut self, reason: &str) -> Option<Vec<Action>> {
        let BareStart {
            has_capabilities,
            bare,
            tried,
        } = self.bare_start;
        let State::Starting { .. } = self.state else {
            return None;
        };
        if !has_capabilities || bare || tried || !self.era_probe.has_sent_initialize() {
            return None;
        }
        self.bare_start.bare = true;
        self.bare_start.tried = true;
        let mut actions = self.stop(Next::Start);
        actions.push(self.excuse_life(
            reason,
            "it may fail on client_capabilities: the next start tells it of none",
        ));
        Some(actions)
    }
}
