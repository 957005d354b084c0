//! All sessions by id.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ended::EndedSessions;
use super::{Agreed, OWN, ReplayBudgets, Session, sealed};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::memory_budget::MemoryBudget;
use crate::relay::api::Target;
use crate::relay::config::Config;
use crate::relay::seal::Sealer;
use crate::state_dir::StateDir;
use crate::types::{Principal, PrincipalId, wall};

/// When a token that holds its share of sessions may try again.
const SESSIONS_RETRY: Duration = Duration::from_secs(5);

/// The sessions that are open.
#[derive(Debug)]
pub(in crate::relay) struct Directory {
    config: watch::Receiver<Config>,
    /// `None` only where the system has no randomness.
    sealer: Option<Arc<Sealer>>,
    open: Mutex<FxHashMap<Arc<str>, Arc<Session>>>,
    /// What the sessions of each principal keep together.
    replays: Arc<ReplayBudgets>,
    /// Those that must not be revived. Asked while `open` is locked.
    ended: EndedSessions,
    /// Held while a session is revived.
    revival: Mutex<()>,
}

impl Directory {
    pub(in crate::relay) fn new(
        config: watch::Receiver<Config>,
        sealer: Option<Arc<Sealer>>,
        memory: MemoryBudget,
        state: &StateDir,
    ) -> Self {
        Self {
            config,
            sealer,
            open: Mutex::default(),
            replays: ReplayBudgets::new(memory),
            ended: EndedSessions::load(state),
            revival: Mutex::default(),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, FxHashMap<Arc<str>, Arc<Session>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the record of the sessions that have ended until `stop` is cancelled.
    pub(in crate::relay) async fn write_record(&self, stop: &CancellationToken) {
        self.ended.write_record(stop).await;
    }

    /// A new session, which nobody can find before it is let in.
    pub(in crate::relay) fn prepare(
        &self,
        principal: &Arc<Principal>,
        target: Target,
        agreed: Agreed,
    ) -> Result<Arc<Session>, Fault> {
        let no_id = || Fault::new(FaultKind::InternalError, "no session id could be made");
        let sealer = self.sealer.as_ref().ok_or_else(no_id)?;
        let token = &principal.fingerprint;
        let id = sealed::seal(sealer, token, &target, &agreed, wall::now())?;
        Ok(Arc::new(self.session(id.into(), principal, target, agreed)))
    }

    fn session(
        &self,
        id: Arc<str>,
        principal: &Arc<Principal>,
        target: Target,
        agreed: Agreed,
    ) -> Session {
        let max = self.config.borrow().replay_bytes_per_token;
        let budget = self.replays.of(principal.id, max);
        let principal = Arc::clone(principal);
        Session::new(
            id,
            principal,
            target,
            agreed,
            &self.config.borrow(),
            &budget,
        )
    }

    /// The right to revive sessions, which one request has at a time.
    pub(in crate::relay) fn begin_revival(&self) -> MutexGuard<'_, ()> {
        self.revival.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of this principal on this path with a genuine id, which nobody can find before it is let in. `None`
    /// where there was no such session, and where it has ended for good.
    pub(in crate::relay) fn unseal(
        &self,
        id: &str,
        principal: &Arc<Principal>,
        target: &Target,
    ) -> Option<Arc<Session>> {
        if self.ended.contains(id) {
            return None;
        }
        let sealer = self.sealer.as_ref()?;
        let agreed = sealed::open(sealer, &principal.fingerprint, target, id, wall::now())?;
        let session = self.session(id.into(), principal, target.clone(), agreed);
        Some(Arc::new(session.revived()))
    }

    /// Lets a session in, where its principal has a place left.
    pub(in crate::relay) fn admit(&self, session: &Arc<Session>) -> Result<(), Fault> {
        let mut open = self.sessions();
        if self.ended.contains(&session.id) {
            // It was ended while it was being revived.
            return Err(unknown());
        }
        let own = open
            .values()
            .filter(|other| other.principal.id == session.principal.id);
        let most = self.config.borrow().max_sessions_per_token;
        if own.count() >= most {
            let text = format!("this token has max_sessions_per_token ({most}) sessions open");
            let fault = Fault::new(FaultKind::RateLimited, text);
            return Err(fault.retry_after(SESSIONS_RETRY));
        }
        open.insert(Arc::clone(&session.id), Arc::clone(session));
        Ok(())
    }

    /// The session of this principal on this path that a message names, as it must.
    pub(in crate::relay) fn named(
        &self,
        id: Option<&str>,
        principal: PrincipalId,
        target: &Target,
    ) -> Result<Arc<Session>, Fault> {
        let id = id.ok_or_else(|| {
            let text = "missing mcp-session-id, expected the one that initialize was answered with";
            Fault::new(FaultKind::InvalidRequest, text).delivered(Delivered::No)
        })?;
        self.find(id, principal, target)
    }

    /// The session of this principal on this path.
    fn find(
        &self,
        id: &str,
        principal: PrincipalId,
        target: &Target,
    ) -> Result<Arc<Session>, Fault> {
        let open = self.sessions();
        let own = open
            .get(id)
            .filter(|session| session.principal.id == principal && session.target == *target);
        let session = own.ok_or_else(unknown)?;
        // Under the lock, so that it does not grow too old between here and its use.
        session.touch();
        Ok(Arc::clone(session))
    }

    /// Ends a session for good, once: to whoever comes second, as found as it may have been, it is unknown.
    pub(in crate::relay) fn end(&self, session: &Session) -> Result<(), Fault> {
        let mut open = self.sessions();
        let gone = open.remove(&session.id).ok_or_else(unknown)?;
        self.ended.insert(&gone.id, &gone.principal.fingerprint);
        drop(open);
        gone.end();
        Ok(())
    }

    /// Takes the sessions that are picked out for good, so that nobody finds them, and ends what belongs to none of
    /// their calls. Those go on: [`Session::end`] is owed.
    pub(in crate::relay) fn take_out(&self, which: impl Fn(&Session) -> bool) -> Vec<Arc<Session>> {
        let picked = self.extract(which, |picked| self.note_ended(picked));
        for session in &picked {
            session.streams.end(OWN);
        }
        picked
    }

    /// Ends a session for good that is not in memory; refused where the caller has no such session.
    pub(in crate::relay) fn end_unopened(
        &self,
        id: &str,
        principal: &Arc<Principal>,
        target: &Target,
    ) -> Result<(), Fault> {
        self.unseal(id, principal, target).ok_or_else(unknown)?;
        self.ended.insert(id, &principal.fingerprint);
        Ok(())
    }

    /// Ends the sessions that are picked for good; gives them.
    pub(in crate::relay) fn end_picked(
        &self,
        which: impl Fn(&Session) -> bool,
    ) -> Vec<Arc<Session>> {
        let picked = self.extract(which, |picked| self.note_ended(picked));
        for session in &picked {
            session.end();
        }
        picked
    }

    fn note_ended(&self, sessions: &[Arc<Session>]) {
        for session in sessions {
            self.ended
                .insert(&session.id, &session.principal.fingerprint);
        }
    }

    /// Takes the sessions that are picked out of memory; `note` is called with them while nobody can find one.
    fn extract(
        &self,
        which: impl Fn(&Session) -> bool,
        note: impl FnOnce(&[Arc<Session>]),
    ) -> Vec<Arc<Session>> {
        let mut open = self.sessions();
        let picked = open.extract_if(|_, session| which(session));
        let picked: Vec<_> = picked.map(|(_, session)| session).collect();
        note(&picked);
        drop(open);
        picked
    }

    /// The open sessions on a path.
    pub(in crate::relay) fn on(&self, target: &Target) -> Vec<Arc<Session>> {
        let open = self.sessions();
        let on = open.values().filter(|session| session.target == *target);
        on.cloned().collect()
    }

    /// Takes the sessions that nobody has used for too long out of memory; gives them. Their clients may revive them.
    pub(in crate::relay) fn expire(&self, now: Instant) -> Vec<Arc<Session>> {
        let idle = self.config.borrow().session_idle;
        let old = self.extract(|session| session.is_idle(now, idle), |_| ());
        for session in &old {
            session.end();
        }
        let open: Vec<_> = self.sessions().values().cloned().collect();
        for session in open {
            session.withdraw_expired_questions(now);
        }
        old
    }

    /// Open sessions that can reach a server by its own path.
    pub(in crate::relay) fn count(&self, target: &Target) -> usize {
        let open = self.sessions();
        open.values()
            .filter(|session| session.target == *target)
            .count()
    }

    /// Ends the streams of the sessions themselves, and what nobody can answer any more. The streams of
    /// calls go on to their responses.
    pub(in crate::relay) fn end_all(&self) {
        for session in self.sessions().values() {
            session.streams.end(OWN);
            session.asks.refuse_all("the gateway is shutting down");
        }
    }
}

/// The fault of a session that is not there, or is somebody else's, or has ended.
pub(in crate::relay) fn unknown() -> Fault {
    Fault::new(FaultKind::SessionNotFound, "unknown session").delivered(Delivered::No)
}
