//! Whether the server is alive, and whether the gateway was: which silence counts against a server.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Actor;
use crate::protocol::Era;
use crate::supervisor::handshake;
use crate::supervisor::machine::{Event, State};

/// A turn that ends this much too late means that the gateway, or the whole machine, slept. That time is
/// counted against nobody, or a laptop's wake-up would look like a hung server.
pub(in crate::supervisor) const OVERSLEPT: Duration = Duration::from_secs(1);

/// A probe under way; whether it was answered.
pub(super) type Probe = Pin<Box<dyn Future<Output = bool> + Send>>;

impl Actor {
    /// Gives back the time that passed while nothing ran: a turn takes no longer than until it is `due`.
    pub(super) fn forgive_sleep(&mut self, due: Instant) {
        let now = Instant::now();
        let slept = now.saturating_duration_since(due);
        if slept > OVERSLEPT {
            self.machine.slept(slept);
            self.shared.mux.slept(slept);
            self.next_probe = now + self.shared.config.probe.interval;
        }
    }

    pub(super) fn start_probe(&mut self, now: Instant) {
        let running = matches!(
            self.machine.state(),
            State::Ready { .. } | State::Unhealthy { .. }
        );
        if !running || self.probe.is_some() || now < self.next_probe {
            return;
        }
        self.next_probe = now + self.shared.config.probe.interval;
        // A server at work is not asked whether it is alive: its requests have deadlines of their own.
        if !self.shared.mux.is_idle() {
            return;
        }
        let (mux, timeout) = (
            Arc::clone(&self.shared.mux),
            self.shared.config.probe.timeout,
        );
        let era = self.era.unwrap_or(Era::Legacy);
        self.probe_sent = Some(now);
        self.probe = Some(Box::pin(async move {
            handshake::probe(&mux, era, timeout).await
        }));
    }

    pub(super) fn probed(&mut self, alive: bool) {
        self.probe = None;
        let heard = self.shared.mux.last_heard() >= self.probe_sent;
        // Silence while a request is under way is the silence of a server with one thread.
        let busy = self.shared.mux.load().in_flight > 0;
        if alive || heard {
            self.step(Event::ProbeAnswered);
        } else if !busy {
            self.step(Event::ProbeMissed);
        }
    }
}

/// The end of the probe that is under way, if one is. Cancel safe.
pub(super) async fn poll_probe(probe: &mut Option<Probe>) -> bool {
    match probe {
        Some(probe) => probe.await,
        None => std::future::pending().await,
    }
}
