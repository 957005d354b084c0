//! The start of one life, and what it waits for.

use std::borrow::Cow;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Actor;
use crate::supervisor::config::Config;
use crate::supervisor::life::{self, Ends};
use crate::supervisor::process_name::log_process;
use crate::types::Incarnation;

impl Actor {
    pub(super) fn spawn(&mut self, incarnation: Incarnation) {
        self.ends = Ends::default();
        if self.kill.is_cancelled() {
            self.ends.kill.cancel();
        }
        self.session_id = random_id();
        let restarts = self.machine.restart_count();
        if restarts > self.counted_restarts {
            self.counted_restarts = restarts;
            self.instruments.restarted();
        }
        let (mut shared, ends, news) =
            (self.shared.clone(), self.ends.clone(), self.news.0.clone());
        self.named_pid = None;
        self.end_reason = Cow::default();
        let first = self.first_message();
        log_process!(info, self.name(), "starting server");
        if self.is_bare {
            shared.config = Arc::new(Config {
                client_capabilities: "{}".into(),
                ..(*shared.config).clone()
            });
        }
        self.lives
            .spawn(life::live(shared, incarnation, first, ends, news));
        while self.lives.try_join_next().is_some() {}
    }
}

/// 128 random bits as text; `None` only where the system has no randomness.
fn random_id() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}

/// Resolves when no process of the predecessors is left; never without one.
pub(super) async fn all_ended(predecessors: &[CancellationToken]) {
    if predecessors.is_empty() {
        return std::future::pending().await;
    }
    for predecessor in predecessors {
        predecessor.cancelled().await;
    }
}
