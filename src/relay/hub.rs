//! Who hears what one server's child says of its own accord.
//!
//! Clients of both eras join here, whatever the era of the child: a legacy client with an [`Ear`], which
//! hears every changed list; a modern one with a [`Listening`](listening::Listening), which hears what it asked for. The child
//! is told once for all of them: a resource is subscribed to while anybody wants its updates, the level of
//! logs is the most talkative that anybody wants, and a modern child has one `subscriptions/listen` open
//! for each principal that covers the wishes of its clients ([`keeper`]).
//!
//! One lock that is held for a few lines and never across an await. What the child says is pushed by the
//! task that reads it, so everybody hears it in the child's order; a new life of the child is told anew
//! what the last one was told.

mod changes;
mod child;
mod ear;
mod filter;
mod keeper;
mod levels;
mod listener;
mod listening;
mod pressure;
mod subscription_request;
mod subscriptions;
mod told;
mod told_resources;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub(super) use ear::Ear;
pub(super) use filter::{Filter, List};
pub(super) use levels::{Raised, USUAL};
#[cfg(test)]
pub(super) use listening::Listening;
pub(super) use subscription_request::SubscriptionRequest;

use changes::{PendingChanges, SubscriptionChange};
use filter::{Capabilities, Lists};
use keeper::{Settled, UpstreamListen};
use pressure::{Pressure, StreamKind};
use subscriptions::{ClientSubscriptions, Subscriptions};
use told::Told;
use told_resources::ToldResources;

use super::calls::Calls;
use crate::fault::Fault;
use crate::instruments::{DropReason, ServerInstruments};
use crate::protocol::{Era, Level};
use crate::supervisor::{Handshake, Owner, ServerHandle};
use crate::types::{Incarnation, PrincipalId, ServerId};

/// Where the messages for one hearer go.
pub(super) trait Sink: Send + Sync + Debug {
    /// Takes one message, a line without its end. `false` where it was dropped, because the reader is too
    /// slow or gone. Called by the task that reads the child: must not block.
    fn push(&self, message: Bytes) -> bool;

    /// How much of what may wait for the reader does, in parts of a hundred; nothing where nobody reads.
    fn fullness(&self) -> usize;
}

/// The larger part of two bounds, in parts of a hundred.
pub(super) fn fullness(events: (usize, usize), bytes: (usize, usize)) -> usize {
    let part = |(waiting, most): (usize, usize)| waiting.saturating_mul(100) / most.max(1);
    part(events).max(part(bytes))
}

/// The hearers of one server.
#[derive(Debug)]
pub(super) struct Hub {
    this: Weak<Self>,
    server: ServerId,
    calls: Arc<Calls>,
    instruments: ServerInstruments,
    /// Everybody here is one principal, whose child it is.
    is_owned: bool,
    /// Set once, right after the supervisor was started with this listener.
    handle: OnceLock<ServerHandle>,
    state: Mutex<State>,
    pressure: Mutex<Pressure>,
    /// Counts the changes of what is wanted of the child.
    wishes: watch::Sender<u64>,
    /// Up to which of them a modern child was told, for each principal whose wishes are kept.
    settled: watch::Sender<BTreeMap<PrincipalId, Settled>>,
    /// A modern child has acknowledged a listen.
    acknowledged: watch::Sender<()>,
    /// A request about a subscription has left the table.
    left: watch::Sender<()>,
    /// The tasks that tell the child of the wishes, and where they run.
    tasks: Mutex<JoinSet<()>>,
    runtime: OnceLock<Handle>,
}

/// What the lock of a hub guards.
#[derive(Debug, Default)]
struct State {
    /// In the order in which they came.
    hearers: BTreeMap<u64, Hearer>,
    next_key: u64,
    subscriptions: Subscriptions,
    changes: PendingChanges,
    told: ToldResources,
    users: Users,
    life: Option<Life>,
    /// A life was ready before.
    was_ready: bool,
    /// There are clients that were shown the lists without this server's before its first life.
    shown_without: bool,
    /// The last life that has ended.
    over: Incarnation,
    /// The levels that modern calls want for as long as they run.
    raised: BTreeMap<u64, Level>,
    /// The level that this life of a legacy child was told.
    told_level: Option<Level>,
    /// The listens at a modern child, of each principal whose wishes are kept.
    listens: BTreeMap<PrincipalId, UpstreamListen>,
    /// Principals whose hearers still have to be told to look at the lists again.
    unannounced: BTreeSet<PrincipalId>,
}

/// The life of the child that became ready last.
#[derive(Clone, Copy, Debug)]
struct Life {
    incarnation: Incarnation,
    era: Era,
    capabilities: Capabilities,
    /// It takes requests.
    is_ready: bool,
}

/// Who has used the present life of the child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Users {
    #[default]
    Nobody,
    One(PrincipalId),
    Several,
}

#[derive(Debug)]
struct Hearer {
    principal: PrincipalId,
    sink: Arc<dyn Sink>,
    /// The lists of whose changes it wants to hear.
    lists: Lists,
    /// The resources of whose updates it wants to hear.
    resources: ClientSubscriptions,
    mark: Mark,
}

/// How the messages for a hearer are made out.
#[derive(Clone, Debug)]
enum Mark {
    /// A legacy client's: without a mark, and with the logs from a level on.
    Legacy { level: Option<Level> },
    /// A modern client's: with the id of its `subscriptions/listen`; nothing before it is acknowledged.
    Modern { id: Bytes, acknowledged: bool },
}

impl Hub {
    pub(super) fn new(
        server: ServerId,
        calls: Arc<Calls>,
        instruments: ServerInstruments,
        is_owned: bool,
    ) -> Arc<Self> {
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            is_owned,
            server,
            calls,
            instruments,
            handle: OnceLock::new(),
            state: Mutex::default(),
            pressure: Mutex::default(),
            wishes: watch::Sender::new(0),
            settled: watch::Sender::new(BTreeMap::new()),
            acknowledged: watch::Sender::new(()),
            left: watch::Sender::new(()),
            tasks: Mutex::default(),
            runtime: OnceLock::new(),
        })
    }

    /// Says whom this hub belongs to; called once, within a tokio runtime.
    pub(super) fn attach(self: &Arc<Self>, handle: ServerHandle) {
        if self.handle.set(handle).is_ok() {
            // Set with the handle.
            let _ = self.runtime.set(Handle::current());
            let (wishes, left) = (self.wishes.subscribe(), self.left.subscribe());
            self.spawn(changes::run(Arc::downgrade(self), wishes, left));
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = self.runtime.get() {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            while tasks.try_join_next().is_some() {}
            tasks.spawn_on(task, runtime);
        }
    }

    pub(super) fn server(&self) -> &ServerId {
        &self.server
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pressure(&self) -> MutexGuard<'_, Pressure> {
        self.pressure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a principal talks to the child.
    pub(super) fn used_by(&self, principal: PrincipalId) {
        let mut state = self.state();
        state.users = match state.users {
            Users::Nobody => Users::One(principal),
            Users::One(known) if known == principal => Users::One(known),
            Users::One(_) | Users::Several => Users::Several,
        };
    }

    /// Notes that clients may be shown lists in which this server's are missing because it has not been
    /// ready yet: then its first life is announced as every other.
    pub(super) fn may_be_missing(&self) {
        let mut state = self.state();
        state.shown_without |= state.ready_life().is_none();
    }

    /// True while no life of the child is ready.
    pub(super) fn is_unborn(&self) -> bool {
        self.state().ready_life().is_none()
    }

    /// Notes that a client was shown a list without this server's, which was not ready when the list was begun, or did not
    /// answer in time: clients are told to ask again, when the next life is ready or, where that is by now, at once.
    pub(super) fn was_missing(&self) {
        let mut state = self.state();
        if state.ready_life().is_none() {
            state.shown_without = true;
            return;
        }
        state.all_unannounced();
        drop(state);
        self.announce_new_life(|_| true);
    }

    /// Whether anybody wants updates of a resource.
    pub(super) fn is_wanted(&self, uri: &str) -> bool {
        self.state().is_wanted(uri)
    }

    /// A child of this handshake tells updates of resources on a listen: a modern one that has such.
    pub(super) fn subscribes_by_listen(handshake: &Handshake) -> bool {
        handshake.era == Era::Modern && Capabilities::read(&handshake.capabilities).subscribe
    }

    fn enter(self: &Arc<Self>, hearer: Hearer) -> u64 {
        let mut state = self.state();
        let (key, principal) = (state.key(), hearer.principal);
        state.hearers.insert(key, hearer);
        let is_kept = self.runtime.get().is_none() || state.listens.contains_key(&principal);
        if !is_kept {
            state.listens.insert(principal, UpstreamListen::default());
            self.settled.send_modify(|settled| {
                settled.insert(principal, Settled::default());
            });
        }
        drop(state);
        if !is_kept {
            let wishes = self.wishes.subscribe();
            self.spawn(keeper::keep(Arc::downgrade(self), principal, wishes));
        }
        self.wishes_changed();
        key
    }

    /// Takes a hearer out, and tells the child of what nobody wants any more.
    fn leave(&self, key: u64) {
        let mut state = self.state();
        let Some(gone) = state.hearers.remove(&key) else {
            return;
        };
        for uri in state.subscriptions.remove_client(&gone.resources) {
            state
                .changes
                .add(gone.principal, uri, SubscriptionChange::Unsubscribe);
        }
        self.send_changes(&mut state);
        drop(state);
        drop(self.tell_level(Owner::Principal(gone.principal)));
        self.wishes_changed();
    }

    /// Notes what became of a message of the child that was offered to one call.
    pub(super) fn offered(&self, sink: &Arc<dyn Sink>, principal: PrincipalId, taken: bool) {
        if !taken {
            self.instruments.dropped(DropReason::SlowStream);
        }
        let now = Instant::now();
        self.pressure()
            .look_at(sink, StreamKind::Call, principal, now);
    }

    /// Gives a message to every hearer that is picked, in the form that is meant for it.
    fn deliver(&self, told: &Told, wants: impl Fn(&Hearer) -> bool) {
        self.deliver_by_key(told, |_, hearer| wants(hearer));
    }

    /// The same, where it also depends on who the hearer is.
    fn deliver_by_key(&self, told: &Told, wants: impl Fn(u64, &Hearer) -> bool) {
        let state = self.state();
        let picked = state
            .hearers
            .iter()
            .filter(|(key, hearer)| wants(**key, hearer));
        let picked: Vec<_> = picked
            .filter_map(|(_, hearer)| {
                let id = match &hearer.mark {
                    Mark::Legacy { .. } => None,
                    Mark::Modern { id, acknowledged } => Some(acknowledged.then(|| id.clone())?),
                };
                Some((Arc::clone(&hearer.sink), hearer.principal, id))
            })
            .collect();
        drop(state);
        if picked.is_empty() {
            self.instruments.dropped(DropReason::NoListener);
        }
        let (unmarked, now) = (told.unmarked(), Instant::now());
        for (sink, principal, id) in picked {
            let message = match id {
                None => Some(unmarked.clone()),
                Some(id) => told.marked(&id),
            };
            let taken = message.map(|message| sink.push(message));
            match taken {
                Some(true) => {
                    self.pressure()
                        .look_at(&sink, StreamKind::Hearer, principal, now);
                }
                Some(false) => self.instruments.dropped(DropReason::SlowStream),
                None => self.instruments.dropped(DropReason::GarbageLine),
            }
        }
    }
}

impl State {
    /// The life that takes requests.
    fn ready_life(&self) -> Option<Life> {
        self.life.filter(|life| life.is_ready)
    }

    /// Notes that everybody who hears the server still has to be told to look at the lists again.
    fn all_unannounced(&mut self) {
        let hearers = self.hearers.values();
        self.unannounced = hearers.map(|hearer| hearer.principal).collect();
    }

    /// A key that no hearer and no call had before.
    fn key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    fn is_wanted(&self, uri: &str) -> bool {
        self.subscriptions.contains(uri)
    }

    /// Notes that a hearer wants updates of a resource; `true` where nobody did before.
    fn want(&mut self, key: u64, uri: &str) -> Result<bool, Fault> {
        let hearer = self.hearers.get_mut(&key);
        hearer.map_or(Ok(false), |hearer| {
            self.subscriptions.add(&mut hearer.resources, uri)
        })
    }

    /// Notes that a hearer wants none any more; `true` where nobody does.
    fn forget(&mut self, key: u64, uri: &str) -> bool {
        match self.hearers.get_mut(&key) {
            Some(hearer) => self.subscriptions.remove(&mut hearer.resources, uri),
            None => !self.is_wanted(uri),
        }
    }
}
