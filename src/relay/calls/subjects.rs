//! Whose elicitations and tasks are: a server names them when it says something of them after the call.
//!
//! A server that is shared by all says `notifications/elicitation/complete` and `notifications/tasks/status` of an id
//! alone. The session in whose call the id came up is the one to be told.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::Deserialize;

use crate::relay::session::Session;

/// Ids that are remembered for one server, the newest, and the longest of them in bytes.
const MAX_SUBJECTS: usize = 1024;
const MAX_ID: usize = 256;
/// URL elicitation required, in 2025-11-25 only.
const URL_ELICITATION_REQUIRED: i64 = -32042;

/// What a notification may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Elicitation,
    Task,
}

/// The ids, and the session that each belongs to.
#[derive(Debug, Default)]
pub(super) struct Subjects(Mutex<VecDeque<Subject>>);

#[derive(Debug)]
struct Subject {
    kind: Kind,
    id: Box<str>,
    session: Weak<Session>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Named<'a> {
    #[serde(borrow)]
    elicitation_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    task_id: Option<Cow<'a, str>>,
}

impl Subjects {
    fn known(&self) -> MutexGuard<'_, VecDeque<Subject>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, kind: Kind, id: &str, session: &Arc<Session>) {
        if id.len() > MAX_ID {
            return;
        }
        let mut known = self.known();
        known.retain(|subject| subject.kind != kind || *subject.id != *id);
        if known.len() >= MAX_SUBJECTS {
            known.pop_front();
        }
        known.push_back(Subject {
            kind,
            id: id.into(),
            session: Arc::downgrade(session),
        });
    }

    /// Notes what a session is asked: the params of `elicitation/create`.
    pub(super) fn asked(&self, params: &[u8], session: &Arc<Session>) {
        let named: Named<'_> = serde_json::from_slice(params).unwrap_or_default();
        if let Some(id) = named.elicitation_id {
            self.note(Kind::Elicitation, &id, session);
        }
    }

    /// Notes what the error of a call of a session names: the URLs that have to be visited first.
    pub(super) fn refused(&self, error: &[u8], session: &Arc<Session>) {
        #[derive(Deserialize)]
        struct Refused<'a> {
            code: i64,
            #[serde(borrow)]
            data: Option<Data<'a>>,
        }
        #[derive(Deserialize)]
        struct Data<'a> {
            #[serde(borrow)]
            elicitations: Vec<Named<'a>>,
        }
        if memchr::memmem::find(error, b"elicitationId").is_none() {
            return;
        }
        let refused: Option<Refused<'_>> = serde_json::from_slice(error).ok();
        let refused = refused.filter(|refused| refused.code == URL_ELICITATION_REQUIRED);
        let elicitations = refused.and_then(|refused| refused.data);
        let elicitations = elicitations.map_or_else(Vec::new, |data| data.elicitations);
        for id in elicitations
            .iter()
            .filter_map(|named| named.elicitation_id.as_deref())
        {
            self.note(Kind::Elicitation, id, session);
        }
    }

    /// Notes the task that a call of a session has become; `result` is that of the call.
    pub(super) fn task_created(&self, result: &[u8], session: &Arc<Session>) {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Created<'a> {
            #[serde(borrow)]
            task: Option<Named<'a>>,
        }
        let created: Created<'_> = serde_json::from_slice(result).unwrap_or_default();
        if let Some(id) = created.task.and_then(|task| task.task_id) {
            self.note(Kind::Task, &id, session);
        }
    }

    /// The session that a notification of this method with these params is about.
    pub(super) fn session(&self, method: &str, params: &[u8]) -> Option<Arc<Session>> {
        let kind = match method {
            "notifications/elicitation/complete" => Kind::Elicitation,
            "notifications/tasks/status" => Kind::Task,
            _ => return None,
        };
        let named: Named<'_> = serde_json::from_slice(params).ok()?;
        let id = match kind {
            Kind::Elicitation => named.elicitation_id?,
            Kind::Task => named.task_id?,
        };
        let known = self.known();
        let about = |subject: &&Subject| subject.kind == kind && *subject.id == *id;
        known.iter().rev().find(about)?.session.upgrade()
    }
}
