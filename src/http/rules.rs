//! The rules of the edge that are in force: one value that never changes, and a reload puts another in its
//! place.
//!
//! A request is let in by the rules of the moment in which its head was read, and so is a connection. What
//! is under way goes on by the rules that it began with, but for streams whose token is no more.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::admission::Admission;
use super::config::{Config, LimitsConfig};
use super::share::Shares;
use crate::types::{PrincipalId, wall};

/// Everything of a config that the edge decides by.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) admission: Admission,
    pub(super) shares: Shares,
    pub(super) limits: LimitsConfig,
    pub(super) failed_auth_per_minute: u32,
}

/// Which config is in force, for `/health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigStatus {
    /// Counted from 1: the config that the gateway was started with.
    pub generation: u64,
    /// Since when it is in force.
    pub loaded_at: SystemTime,
    /// What is in the file now was refused; `None` once it was taken.
    pub refused: Option<RefusedConfig>,
    /// Keys in which the file says something else than what is in force, because only a restart of the gateway
    /// can change them.
    pub restart_needed: Vec<&'static str>,
}

/// A config that was refused, while the one before it stays in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedConfig {
    /// When it was looked at.
    pub at: SystemTime,
    /// How many faults it has; the log has them all.
    pub faults: usize,
    /// The first of them, one line each.
    pub reasons: Vec<String>,
}

/// Faults that are kept for `/health`, and characters of each.
const MAX_REASONS: usize = 20;
const MAX_REASON: usize = 500;

/// Where the rules in force are found and replaced; cheap to clone.
#[derive(Clone, Debug)]
pub struct Rulebook(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    rules: watch::Sender<Arc<Rules>>,
    status: watch::Sender<Arc<ConfigStatus>>,
}

impl Rulebook {
    /// The rules that the gateway begins with.
    pub fn new(config: &Config) -> Self {
        let Config {
            bind: _,
            bind_also: _,
            tls: _,
            admission,
            limits,
        } = config;
        let admitted = Admission::new(admission.clone());
        let rules = Rules {
            shares: Shares::new(admitted.principals(), limits),
            admission: admitted,
            limits: *limits,
            failed_auth_per_minute: admission.failed_auth_per_minute,
        };
        let status = ConfigStatus {
            generation: 1,
            loaded_at: wall::now(),
            refused: None,
            restart_needed: Vec::new(),
        };
        Self(Arc::new(Inner {
            rules: watch::Sender::new(Arc::new(rules)),
            status: watch::Sender::new(Arc::new(status)),
        }))
    }

    /// Puts the rules of another config in the place of these, and ends the event streams of tokens that it
    /// has not; gives whose they were.
    ///
    /// A token is the same as before if nothing about its entry has changed. Every other one gets a
    /// principal that nobody was before, whatever number stands in the config.
    pub fn replace(&self, config: &Config, restart_needed: Vec<&'static str>) -> Vec<PrincipalId> {
        let Config {
            bind: _,
            bind_also: _,
            tls: _,
            admission,
            limits,
        } = config;
        let before = self.rules();
        let admitted = before.admission.succeeded_by(admission.clone());
        let rules = Rules {
            shares: before
                .shares
                .succeeded_by(admitted.principals(), limits, &before.limits),
            admission: admitted,
            limits: *limits,
            failed_auth_per_minute: admission.failed_auth_per_minute,
        };
        let rules = Arc::new(rules);
        self.0.rules.send_replace(Arc::clone(&rules));
        self.0.status.send_modify(|status| {
            *status = Arc::new(ConfigStatus {
                generation: status.generation + 1,
                loaded_at: wall::now(),
                refused: None,
                restart_needed,
            });
        });
        before.admission.revoke_what_is_not_in(&rules.admission)
    }

    /// Notes that a config with these faults was refused, and that these rules stay in force.
    pub fn refused(&self, faults: impl IntoIterator<Item = String>) {
        let mut reasons: Vec<String> = faults.into_iter().collect();
        let refused = RefusedConfig {
            at: wall::now(),
            faults: reasons.len(),
            reasons: {
                reasons.truncate(MAX_REASONS);
                let cut = |reason: String| reason.chars().take(MAX_REASON).collect();
                reasons.into_iter().map(cut).collect()
            },
        };
        self.0.status.send_modify(|status| {
            Arc::make_mut(status).refused = Some(refused);
        });
    }

    /// Which config is in force.
    pub fn status(&self) -> Arc<ConfigStatus> {
        Arc::clone(&self.0.status.borrow())
    }

    /// The rules in force.
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.0.rules.borrow())
    }
}

#[cfg(test)]
mod tests;
