//! Another config while the gateway runs: read as a whole, compared with the one in force by what it means,
//! and put in its place; or refused as a whole, and then nothing has changed.

use std::net::SocketAddr;
use std::sync::Arc;

use super::service;
use super::signals::Hangup;
use crate::config::{Config, Faults};
use crate::http::{Rulebook, Tls};
use crate::relay::{Relay, Reloaded};
use crate::shards::in_thread;
use crate::telemetry::{self, Telemetry};
use crate::types::ServerId;

/// Reads the config again, for a gateway that stays bound to this address (`bind_port` 0 as 0).
pub type Reread = Arc<dyn Fn(SocketAddr) -> Result<Config, Faults> + Send + Sync>;

/// What reloads, and what is in force.
pub(super) struct Reloads<'a> {
    /// `None` where the config exists in memory only.
    pub(super) reread: Option<Reread>,
    pub(super) running: Config,
    /// Where the gateway listens in truth.
    pub(super) port: u16,
    pub(super) rulebook: Rulebook,
    pub(super) relay: Arc<Relay>,
    pub(super) telemetry: &'a Telemetry,
}

impl Reloads<'_> {
    /// Reloads at every SIGHUP, one after the other; several that come during one reload are one more.
    /// Ends when a SIGHUP means the end: the terminal is gone, or there is nothing to reload. Dropped in the middle of a
    /// reload, it leaves some servers with their old config, which is for the end of the gateway only.
    pub(super) async fn serve(&mut self, hangup: &mut Hangup) {
        while hangup.recv().await {
            if self.reread.is_none() || hangup.is_terminal_gone() {
                return tracing::info!(signal = "SIGHUP", "the terminal was closed");
            }
            tracing::info!(signal = "SIGHUP", "asked to reload");
            service::reloading();
            self.reload().await;
            service::ready();
        }
        std::future::pending::<()>().await;
    }

    async fn reload(&mut self) {
        let Some(reread) = self.reread.clone() else {
            return tracing::warn!("there is no config file to reload");
        };
        let bind = self.running.http.bind;
        // Files may lie on a disk that takes its time.
        match in_thread("reload", move || reread(bind)) {
            Ok(read) => match read.await {
                Ok(Ok(config)) => self.take(config).await,
                Ok(Err(faults)) => self.refuse(&faults),
                Err(_lost) => self.unread("bug: the thread that read it ended without a word"),
            },
            Err(error) => self.unread(&format!("no thread to read it: {error}")),
        }
    }

    fn unread(&self, reason: &str) {
        tracing::error!(reason, "config not read, the one in force stays");
        self.rulebook
            .refused([format!("the config could not be read: {reason}")]);
    }

    fn refuse(&self, faults: &Faults) {
        let config = faults.path().display();
        for fault in faults.iter() {
            tracing::error!(config = %config, "{fault}");
        }
        for warning in faults.warnings() {
            tracing::warn!(config = %config, "{warning}");
        }
        let count = faults.iter().count();
        tracing::error!(config = %config, faults = count, "config refused, the one in force stays");
        self.rulebook
            .refused(faults.iter().map(ToString::to_string));
    }

    /// Puts a config in force: first who may enter, so that nobody enters by the old one what is new.
    async fn take(&mut self, mut config: Config) {
        let path = config.path.display();
        for warning in &config.warnings {
            tracing::warn!(config = %path, "{warning}");
        }
        let keys = restart_needed(&self.running, &config);
        if !keys.is_empty() {
            let keys = keys.join(", ");
            tracing::warn!(config = %path, keys, "what has changed in {keys} takes effect when the gateway is restarted");
        }
        config.http.bind = self.running.http.bind;
        config.http.bind_also = self.running.http.bind_also;
        config.http.tls = renewed(self.running.http.tls.clone(), config.http.tls);
        config.http.listens_on(self.port);
        self.telemetry.set_filter(&config.log.filter);
        let gone = self.rulebook.replace(&config.http, keys);
        self.relay.revoke(&gone);
        let servers = config.servers.clone();
        let reloaded = self.relay.reload(config.relay, servers).await;
        let Reloaded {
            added,
            removed,
            changed,
        } = reloaded;
        tracing::info!(
            config = %config.path.display(),
            generation = self.rulebook.status().generation,
            added = listed(&added),
            removed = listed(&removed),
            changed = listed(&changed),
            revoked_tokens = gone.len(),
            "config reloaded"
        );
        self.running = config;
    }
}

fn listed(servers: &[ServerId]) -> String {
    let ids: Vec<_> = servers.iter().map(ServerId::as_str).collect();
    ids.join(", ")
}

/// The handle on TLS that is in use, which shows the certificate of the new config from now on.
fn renewed(running: Option<Tls>, new: Option<Tls>) -> Option<Tls> {
    if let (Some(running), Some(new)) = (&running, new) {
        running.reload(new.identity());
    }
    running
}

/// The keys that a running gateway cannot change.
fn restart_needed(running: &Config, config: &Config) -> Vec<&'static str> {
    let (before, after) = (running.http.bind, config.http.bind);
    let telemetry::Config { filter: _, format } = &config.log;
    let keys = [
        (
            "bind_host",
            before.ip() != after.ip() || running.http.bind_also != config.http.bind_also,
        ),
        ("bind_port", before.port() != after.port()),
        (
            "tls",
            running.http.tls.is_some() != config.http.tls.is_some(),
        ),
        ("log.format", running.log.format != *format),
        ("state_dir", running.state_dir != config.state_dir),
    ];
    let differing = keys.into_iter().filter(|(_, differs)| *differs);
    differing.map(|(key, _)| key).collect()
}
