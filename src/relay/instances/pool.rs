//! The instances that are not shared by all: who is there, who is leaving, and the task that looks for
//! those that nobody uses.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{InstanceKey, Kept, Make};
use crate::fault::{Fault, FaultKind};
use crate::relay::config::ServerConfig;
use crate::supervisor::ServerHandle;
use crate::types::{Principal, PrincipalId};

/// When a client that found no room may try again.
const ROOM_RETRY: Duration = Duration::from_secs(1);
/// Why the processes of a server end that is no more, or is another one.
pub(super) const TAKEN_OUT: &str = "the server was taken out of the config, or replaced";
/// As much of a session's id as tells it from others, and lets nobody in.
const SHOWN_SESSION: usize = 8;

/// The instances of one server, by whose they are.
pub(super) struct Pool<T> {
    config: watch::Sender<Arc<ServerConfig>>,
    make: Make<T>,
    places: Mutex<Places<T>>,
    /// Owns the search for idle instances, and what stops those that were found.
    tasks: TaskTracker,
    /// Ends the search.
    stop: CancellationToken,
}

/// What the lock of a pool guards.
struct Places<T> {
    taken: HashMap<InstanceKey, Entry<T>>,
    /// How many instances of each owner have lost their place and are being stopped.
    leaving: HashMap<PrincipalId, usize>,
    /// Of those the last one of each key; cancelled when no process of it, or of one before it, is left.
    predecessors: HashMap<InstanceKey, CancellationToken>,
    /// The server is no more: nobody gets an instance.
    closed: bool,
    /// An operator has stopped the server: nobody gets an instance that is not there.
    stopped: bool,
}

struct Entry<T> {
    kept: Arc<T>,
    /// The instance of the same key that was being stopped when this one was made.
    predecessor: Option<CancellationToken>,
    owner: PrincipalId,
    /// For people.
    name: Arc<str>,
    leases: usize,
    /// When it was last seen in use.
    used: Instant,
}

impl<T> Places<T> {
    /// An instance of this owner is gone.
    fn left(&mut self, owner: PrincipalId, key: &InstanceKey) {
        let predecessor = self.predecessors.get(key);
        if predecessor.is_some_and(CancellationToken::is_cancelled) {
            self.predecessors.remove(key);
        }
        if let MapEntry::Occupied(mut leaving) = self.leaving.entry(owner) {
            *leaving.get_mut() -= 1;
            if *leaving.get() == 0 {
                leaving.remove();
            }
        }
    }
}

impl<T: Kept> Entry<T> {
    /// Nobody holds it, and nothing is under way in it: a request may outlive whoever made it.
    fn is_idle(&self) -> bool {
        let is_free = |handle: &ServerHandle| {
            let load = handle.mux().load();
            load.in_flight == 0 && load.queued == 0
        };
        self.leases == 0 && self.kept.handles().iter().all(is_free)
    }
}

impl<T: Kept> Pool<T> {
    pub(super) fn new(config: ServerConfig, make: Make<T>) -> Self {
        Self {
            config: watch::Sender::new(Arc::new(config)),
            make,
            places: Mutex::new(Places {
                taken: HashMap::new(),
                leaving: HashMap::new(),
                predecessors: HashMap::new(),
                closed: false,
                stopped: false,
            }),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config.borrow())
    }

    /// Takes another config for the instances that will come.
    pub(super) fn set_config(&self, config: ServerConfig) {
        self.config.send_replace(Arc::new(config));
    }

    fn places(&self) -> MutexGuard<'_, Places<T>> {
        // Whoever panicked under the lock left whole entries.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The instance of this key, made if there is none; one [`Pool::give_back`] is owed for it.
    pub(super) fn hold(
        self: &Arc<Self>,
        key: &InstanceKey,
        principal: &Principal,
        capabilities: Option<Arc<str>>,
    ) -> Result<Arc<T>, Fault> {
        let mut places = self.places();
        if places.closed {
            return Err(Fault::new(FaultKind::ServerNotFound, "unknown server_id"));
        }
        if let Some(entry) = places.taken.get_mut(key) {
            entry.leases += 1;
            return Ok(Arc::clone(&entry.kept));
        }
        if places.stopped {
            let text = "the server is stopped by an operator";
            return Err(Fault::new(FaultKind::ServerStopped, text));
        }
        self.make_room(&mut places, principal.id)?;
        let mut config = self.config().supervisor.clone();
        if let Some(capabilities) = capabilities {
            config.client_capabilities = capabilities;
        }
        let name = name_of(key, principal);
        config.instance = Some(Arc::clone(&name));
        tracing::info!(server_id = %config.id, instance = &*name, "starting an instance of the server");
        let predecessor = places.predecessors.get(key).cloned();
        let kept = Arc::new((self.make)(key, config, predecessor.clone()));
        let entry = Entry {
            kept: Arc::clone(&kept),
            predecessor,
            owner: principal.id,
            name,
            leases: 1,
            used: Instant::now(),
        };
        places.taken.insert(key.clone(), entry);
        Ok(kept)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.places().stopped
    }

    /// Whether instances that are not there may be made.
    pub(super) fn set_stopped(&self, stopped: bool) {
        self.places().stopped = stopped;
    }

    /// Counts one more who needs an instance that somebody holds; one [`Pool::give_back`] is owed for it.
    pub(super) fn hold_again(&self, key: &InstanceKey, kept: &Arc<T>) {
        let mut places = self.places();
        let entry = places.taken.get_mut(key);
        // One that has lost its place does not come back to it: nothing is counted then, nor given back.
        if let Some(entry) = entry.filter(|entry| Arc::ptr_eq(&entry.kept, kept)) {
            entry.leases += 1;
        }
    }

    /// Somebody needs an instance no more; it may be gone, and another have its place.
    pub(super) fn give_back(&self, key: &InstanceKey, kept: &Arc<T>) {
        let mut places = self.places();
        let entry = places.taken.get_mut(key);
        if let Some(entry) = entry.filter(|entry| Arc::ptr_eq(&entry.kept, kept)) {
            entry.leases -= 1;
            entry.used = Instant::now();
        }
    }

    /// Retires the instance of this key, if there is one.
    pub(super) fn end(self: &Arc<Self>, key: &InstanceKey) {
        self.retire(&mut self.places(), key, "its session has ended");
    }

    /// Retires the instances of those owners that are picked.
    pub(super) fn end_owned(
        self: &Arc<Self>,
        which: impl Fn(PrincipalId) -> bool,
        why: &'static str,
    ) {
        let mut places = self.places();
        let entries = places.taken.iter();
        let keys: Vec<_> = entries
            .filter(|(_, entry)| which(entry.owner))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.retire(&mut places, &key, why);
        }
    }

    /// Retires every instance, and lets no other come.
    pub(super) fn end_all(self: &Arc<Self>) {
        self.places().closed = true;
        self.end_owned(|_| true, TAKEN_OUT);
    }

    /// The instances of those owners that are picked, by name.
    pub(super) fn present(&self, which: impl Fn(PrincipalId) -> bool) -> Vec<(Arc<str>, Arc<T>)> {
        let places = self.places();
        let entries = places.taken.values().filter(|entry| which(entry.owner));
        let mut present: Vec<_> = entries
            .map(|entry| (Arc::clone(&entry.name), Arc::clone(&entry.kept)))
            .collect();
        drop(places);
        present.sort_by(|(one, _), (other, _)| one.cmp(other));
        present
    }

    /// Makes room for one more of this owner, at the cost of the longest idle one: of its own, where it has its share
    /// of the instances already.
    fn make_room(
        self: &Arc<Self>,
        places: &mut Places<T>,
        owner: PrincipalId,
    ) -> Result<(), Fault> {
        let config = self.config();
        let (max, share) = (config.max_instances, config.instances_of_one());
        let has_share = |count: usize| share < max && count >= share;
        // Those that leave take seconds to be gone: many sessions that come and go must not add up.
        let leaving = places.leaving.get(&owner).copied().unwrap_or_default();
        if has_share(leaving) {
            return Err(no_share(max));
        }
        if places.leaving.values().sum::<usize>() >= max {
            return Err(no_room(max));
        }
        let own = places.taken.values().filter(|entry| entry.owner == owner);
        let over_share = has_share(own.count());
        if !over_share && places.taken.len() < max {
            return Ok(());
        }
        let idle = places.taken.iter().filter(|(_, entry)| entry.is_idle());
        let idle = idle.filter(|(_, entry)| !over_share || entry.owner == owner);
        let longest = idle.min_by_key(|(_, entry)| entry.used);
        let key = longest.map(|(key, _)| key.clone());
        let key = key.ok_or_else(|| {
            if over_share {
                no_share(max)
            } else {
                no_room(max)
            }
        })?;
        self.retire(places, &key, "its place is needed");
        Ok(())
    }

    /// Takes an instance out, so that nobody finds it any more, and has it stopped.
    fn retire(self: &Arc<Self>, places: &mut Places<T>, key: &InstanceKey, why: &'static str) {
        let Some(entry) = places.taken.remove(key) else {
            return;
        };
        let id = &self.config().supervisor.id;
        tracing::info!(server_id = %id, instance = &*entry.name, reason = why, "stopping an instance of the server");
        *places.leaving.entry(entry.owner).or_default() += 1;
        let gone = CancellationToken::new();
        places.predecessors.insert(key.clone(), gone.clone());
        let (pool, key) = (Arc::clone(self), key.clone());
        self.tasks.spawn(async move {
            // Also where this is given up: whoever follows must not wait for ever.
            let gone = gone.drop_guard();
            super::retire(entry.kept.close(), why).await;
            // An instance that was stopped while it waited has never had a process.
            if let Some(predecessor) = &entry.predecessor {
                predecessor.cancelled().await;
            }
            drop(gone);
            pool.places().left(entry.owner, &key);
        });
    }

    /// Retires what was idle for long enough, again and again, until [`Pool::stop`].
    pub(super) fn watch_for_idle(self: &Arc<Self>) {
        let pool = Arc::clone(self);
        self.tasks.spawn(async move {
            let mut config = pool.config.subscribe();
            loop {
                let next = pool.retire_idle();
                tokio::select! {
                    () = pool.stop.cancelled() => return,
                    () = sleep_until(next) => {}
                    // Another `instance_idle_ms` may end the wait earlier.
                    Ok(()) = config.changed() => {}
                }
            }
        });
    }

    /// Retires what was idle for long enough; gives when the next one can be.
    fn retire_idle(self: &Arc<Self>) -> Instant {
        let (now, patience) = (Instant::now(), self.config.borrow().instance_idle);
        let mut places = self.places();
        // Whatever is in use now is not idle for long enough before this.
        let mut next = now + patience;
        let mut over = Vec::new();
        for (key, entry) in &mut places.taken {
            if !entry.is_idle() {
                entry.used = now;
            } else if entry.used + patience <= now {
                over.push(key.clone());
            } else {
                next = next.min(entry.used + patience);
            }
        }
        for key in over {
            self.retire(&mut places, &key, "nobody uses it");
        }
        next
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) async fn close(&self) {
        self.stop();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl<T> std::fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("server", &self.config.borrow().supervisor.id)
            .field("instance", &self.config.borrow().instance)
            .finish_non_exhaustive()
    }
}

fn name_of(key: &InstanceKey, principal: &Principal) -> Arc<str> {
    match key {
        InstanceKey::Session(session) => {
            let shown: String = session.chars().take(SHOWN_SESSION).collect();
            shown.into()
        }
        InstanceKey::Client(_) | InstanceKey::Shared => Arc::clone(&principal.name),
    }
}

fn no_share(max: usize) -> Fault {
    let text = format!(
        "the processes of the server that this token may have (half of max_instances, {max}) are in use"
    );
    Fault::new(FaultKind::RateLimited, text).retry_after(ROOM_RETRY)
}

fn no_room(max: usize) -> Fault {
    let text = format!("max_instances ({max}) processes of the server are in use");
    Fault::new(FaultKind::ServerBusy, text).retry_after(ROOM_RETRY)
}
