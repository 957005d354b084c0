//! The processes of one server: one that all clients share, or one for each of those who share none.
//!
//! An instance is started for whom it is needed, kept while anybody holds it or a request is under way
//! in it, and retired after it was idle for long enough, when its session ends, or when it is the
//! longest idle one and there is no room for another.
//!
//! A pool knows when an instance comes and goes and nothing of what happens in it: what is kept
//! beside its handle is made by whoever made the pool.

mod pool;
#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::config::{Instance, ServerConfig};
use super::overview::Process;
use crate::fault::Fault;
use crate::supervisor::{self, ServerHandle};
use crate::types::{Principal, PrincipalId};
use pool::Pool;

/// Whose an instance is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum InstanceKey {
    /// All clients'.
    Shared,
    /// Those of one principal.
    Client(PrincipalId),
    /// Of one session, by its id.
    Session(Arc<str>),
}

impl InstanceKey {
    /// Whose instance serves a caller: `session` is the caller's own, if it speaks in one.
    pub(super) fn of(mode: Instance, principal: PrincipalId, session: Option<&Arc<str>>) -> Self {
        match (mode, session) {
            (Instance::Shared, _) => Self::Shared,
            (Instance::Session, Some(session)) => Self::Session(Arc::clone(session)),
            (Instance::Client, _) | (Instance::Session, None) => Self::Client(principal),
        }
    }
}

/// What is kept of one instance.
pub(super) trait Kept: std::fmt::Debug + Send + Sync + 'static {
    /// The actors that run it: of one process, or of two of different eras.
    fn handles(&self) -> Vec<ServerHandle>;

    /// It is being retired: gives the actors, and no other comes.
    fn close(&self) -> Vec<ServerHandle>;

    /// Tells if one of its actors may start its process unasked.
    fn autostarts(&self, handle: &ServerHandle) -> bool;
}

/// Starts an instance: has a supervisor add the server of this config, and keeps what it wants beside
/// its handle. The token, where there is one, is cancelled when no process of the instance before it is left, until which
/// none is started. Called under the pool's lock: must neither block nor come back to the pool.
pub(super) type Make<T> =
    Box<dyn Fn(&InstanceKey, supervisor::Config, Option<CancellationToken>) -> T + Send + Sync>;

/// The instances of one server. Dropping it leaves them to their supervisor.
#[derive(Debug)]
pub(super) struct Instances<T: Kept> {
    /// The instance of the mode `shared`, which is there from the beginning and is never retired.
    shared: Option<Arc<T>>,
    /// The others; empty in the mode `shared`.
    own: Arc<Pool<T>>,
}

impl<T: Kept> Instances<T> {
    /// The pool of one server; in the mode `shared` its one instance is made now.
    ///
    /// Must be called within a tokio runtime.
    pub(super) fn new(config: ServerConfig, make: Make<T>) -> Self {
        let is_shared = config.instance == Instance::Shared;
        let shared = is_shared.then(|| make(&InstanceKey::Shared, config.supervisor.clone(), None));
        let own = Arc::new(Pool::new(config, make));
        if !is_shared {
            own.watch_for_idle();
        }
        Self {
            shared: shared.map(Arc::new),
            own,
        }
    }

    /// What the server is configured to be as of now.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.own.config()
    }

    /// The instance that serves this caller, made if there is none, and kept while the lease is.
    ///
    /// `session` is the caller's own, if it speaks in one. `capabilities`, a JSON object, is what a legacy
    /// instance that is made now is told that its client can do; `None` tells what is configured.
    ///
    /// Refused with `server_busy` where `max_instances` are there and none of them is idle, or as many
    /// are being stopped.
    pub(super) fn lease(
        &self,
        principal: &Principal,
        session: Option<&Arc<str>>,
        capabilities: Option<Arc<str>>,
    ) -> Result<Lease<T>, Fault> {
        if let Some(shared) = &self.shared {
            return Ok(Lease {
                kept: Arc::clone(shared),
                held: None,
            });
        }
        let key = InstanceKey::of(self.config().instance, principal.id, session);
        let kept = self.own.hold(&key, principal, capabilities)?;
        let held = Some((Arc::clone(&self.own), key));
        Ok(Lease { kept, held })
    }

    /// Whether an operator has stopped the server, for instances that are not there, too.
    pub(super) fn is_stopped(&self) -> bool {
        self.own.is_stopped()
    }

    /// Notes an operator's word, which holds for instances that are not there, too: no other is made while the server is
    /// stopped. Those that are there are told one by one.
    pub(super) fn set_stopped(&self, stopped: bool) {
        if self.shared.is_none() {
            self.own.set_stopped(stopped);
        }
    }

    /// Retires the instance of a session that has ended, whoever holds it still.
    pub(super) fn end_session(&self, session: &Arc<str>) {
        self.own.end(&InstanceKey::Session(Arc::clone(session)));
    }

    /// Makes the server another from now on, in every instance of it. Who shares a process stays as it is:
    /// a server that differs in that is another one.
    pub(super) async fn configure(&self, config: ServerConfig) {
        let before = self.own.config();
        self.own.set_config(config.clone());
        for kept in self.all() {
            let mut configured = Vec::new();
            // One at a time: until the first has the new config, another may be made after its old one.
            let next = |configured: &[ServerHandle]| {
                let mut handles = kept.handles().into_iter();
                handles.find(|handle| !configured.contains(handle))
            };
            while let Some(handle) = next(&configured) {
                let mut own = config.supervisor.clone();
                let told = &handle.config().client_capabilities;
                if *told != before.supervisor.client_capabilities {
                    // What the one client of this instance says of itself.
                    own.client_capabilities = Arc::clone(told);
                }
                own.autostart &= kept.autostarts(&handle);
                // An actor that is gone has nothing to configure.
                let _ = handle.configure(own).await;
                configured.push(handle);
            }
        }
    }

    /// Retires the instances of principals that are no more.
    pub(super) fn end_owned(&self, gone: &[PrincipalId]) {
        let why = "its client's token was revoked";
        self.own.end_owned(|owner| gone.contains(&owner), why);
    }

    /// Stops every instance and waits until no process of any is left.
    pub(super) async fn retire(&self) {
        self.own.end_all();
        if let Some(shared) = &self.shared {
            retire(shared.close(), pool::TAKEN_OUT).await;
        }
        self.close().await;
    }

    /// Every instance there is, whoever uses it, without holding it.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        let own = self.own.present(|_| true).into_iter().map(|(_, kept)| kept);
        self.shared.iter().cloned().chain(own).collect()
    }

    /// The processes that a principal may know of, by name: the one that all share, or its own, or with
    /// `admin` everybody's.
    pub(super) fn processes(&self, principal: &Principal) -> Vec<Process> {
        let named = self.named(principal).into_iter();
        let processes = named.flat_map(|(name, kept)| {
            let handles = kept.handles();
            let is_paired = handles.len() > 1;
            handles.into_iter().map(move |handle| Process {
                name: name.clone(),
                is_paired,
                handle,
            })
        });
        processes.collect()
    }

    /// What is kept of these processes.
    pub(super) fn known_to(&self, principal: &Principal) -> Vec<Arc<T>> {
        let named = self.named(principal).into_iter();
        named.map(|(_, kept)| kept).collect()
    }

    fn named(&self, principal: &Principal) -> Vec<(Option<Arc<str>>, Arc<T>)> {
        let shared = self.shared.iter().map(|kept| (None, Arc::clone(kept)));
        let own = self
            .own
            .present(|owner| principal.admin || owner == principal.id);
        let own = own.into_iter().map(|(name, kept)| (Some(name), kept));
        shared.chain(own).collect()
    }

    /// Ends the search for idle instances and waits for those that are being stopped. Those that are
    /// there are left to the shutdown of their supervisor, which goes first.
    pub(super) async fn close(&self) {
        self.own.close().await;
    }
}

impl<T: Kept> Drop for Instances<T> {
    fn drop(&mut self) {
        self.own.stop();
    }
}

/// Stops these actors for good, at the same time, and waits until no process of any is left. `why` goes to
/// the log.
async fn retire(handles: Vec<ServerHandle>, why: &'static str) {
    join_all(handles.iter().map(|handle| handle.retire(why))).await;
}

/// An instance in use: it is not retired for being idle while this value lives.
#[derive(Debug)]
#[must_use = "the instance may be retired when this is dropped"]
pub(super) struct Lease<T: Kept> {
    kept: Arc<T>,
    held: Option<(Arc<Pool<T>>, InstanceKey)>,
}

impl<T: Kept> Deref for Lease<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.kept
    }
}

impl<T: Kept> Lease<T> {
    /// One more lease of the same instance, also where it is being retired.
    pub(super) fn again(&self) -> Self {
        if let Some((pool, key)) = &self.held {
            pool.hold_again(key, &self.kept);
        }
        Self {
            kept: Arc::clone(&self.kept),
            held: self.held.clone(),
        }
    }
}

impl<T: Kept> Drop for Lease<T> {
    fn drop(&mut self) {
        if let Some((pool, key)) = &self.held {
            pool.give_back(key, &self.kept);
        }
    }
}
