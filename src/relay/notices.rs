//! What a child says of its own accord, and who may hear it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use super::queue::Queue;
use super::sessions::Sessions;
use crate::instruments::{DropReason, ServerInstruments};
use crate::protocol::message::string;
use crate::protocol::splice::{Edit, into_frame, splice};
use crate::protocol::{Envelope, Era, Span};
use crate::supervisor::{Handshake, Listener, Observer, ServerHandle, State, Submission};
use crate::types::{Incarnation, PrincipalId, ServerId};

/// JSON-RPC: the method does not exist here.
const METHOD_NOT_FOUND: i32 = -32601;

/// Hears one server's child.
#[derive(Debug)]
pub(super) struct Notices {
    server: ServerId,
    sessions: Arc<Sessions>,
    instruments: ServerInstruments,
    /// Set once, right after the supervisor was started with this listener.
    handle: OnceLock<ServerHandle>,
    users: Mutex<Users>,
}

/// Who has used the present life of the child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Users {
    #[default]
    Nobody,
    One(PrincipalId),
    Several,
}

impl Notices {
    pub(super) fn new(
        server: ServerId,
        sessions: Arc<Sessions>,
        instruments: ServerInstruments,
    ) -> Self {
        Self {
            server,
            sessions,
            instruments,
            handle: OnceLock::new(),
            users: Mutex::default(),
        }
    }

    pub(super) fn attach(&self, handle: ServerHandle) {
        // Called once, where the listener was made.
        let _ = self.handle.set(handle);
    }

    pub(super) fn server(&self) -> &ServerId {
        &self.server
    }

    /// Notes that a principal talks to the child.
    pub(super) fn used_by(&self, principal: PrincipalId) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        *users = match *users {
            Users::Nobody => Users::One(principal),
            Users::One(known) if known == principal => Users::One(known),
            Users::One(_) | Users::Several => Users::Several,
        };
    }

    /// The one principal that a message of the child can be meant for: the only one who has used this
    /// life of it, or the only one who waits for an answer right now.
    fn addressee(&self) -> Option<PrincipalId> {
        match *self.users.lock().unwrap_or_else(PoisonError::into_inner) {
            Users::Nobody => None,
            Users::One(principal) => Some(principal),
            Users::Several => self
                .handle
                .get()
                .and_then(|handle| handle.mux().sole_principal()),
        }
    }

    /// Tells a legacy child that nobody wants updates of this resource any more.
    pub(super) fn unsubscribe(&self, uri: &str) {
        let Some(handle) = self.handle.get() else {
            return;
        };
        // A child of a later life never heard of it, and its first message must be the handshake.
        if matches!(handle.status().state, State::Ready | State::Unhealthy) {
            tell_child(handle, "resources/unsubscribe", uri);
        }
    }

    /// A new child knows nothing of what the old one was told, and its lists may be others: it is told
    /// of the subscriptions again, and every stream is told to look.
    fn restore(&self, handshake: &Handshake) {
        if let (Some(handle), Era::Legacy) = (self.handle.get(), handshake.era) {
            for uri in self.sessions.wanted(&self.server) {
                tell_child(handle, "resources/subscribe", &uri);
            }
        }
        let capabilities: serde_json::Value =
            serde_json::from_str(&handshake.capabilities).unwrap_or_default();
        for list in ["tools", "prompts", "resources"] {
            if capabilities.get(list).is_some() {
                let line =
                    format!(r#"{{"jsonrpc":"2.0","method":"notifications/{list}/list_changed"}}"#);
                let queues = self.sessions.queues(&self.server, |_, _| true);
                self.deliver(&queues, &line.into());
            }
        }
    }

    fn deliver(&self, queues: &[Arc<Queue>], line: &Bytes) {
        for queue in queues {
            if !queue.push(line.clone()) {
                self.instruments.dropped(DropReason::SlowStream);
            }
        }
        if queues.is_empty() {
            self.instruments.dropped(DropReason::NoListener);
        }
    }
}

impl Listener for Notices {
    fn notification(
        &self,
        _incarnation: Incarnation,
        method: &str,
        line: &Bytes,
        envelope: &Envelope,
    ) {
        match method {
            "notifications/tools/list_changed"
            | "notifications/prompts/list_changed"
            | "notifications/resources/list_changed" => {
                self.deliver(&self.sessions.queues(&self.server, |_, _| true), line);
            }
            "notifications/resources/updated" => {
                let uri = envelope
                    .params
                    .and_then(|params| params.uri)
                    .and_then(|span| string(span.of(line)));
                let Some(uri) = uri else {
                    return self.dropped(DropReason::GarbageLine, line.len());
                };
                self.deliver(
                    &self
                        .sessions
                        .queues(&self.server, |_, wanted| wanted.contains(&*uri)),
                    line,
                );
            }
            "notifications/message" => match self.addressee() {
                Some(addressee) => {
                    self.deliver(
                        &self
                            .sessions
                            .queues(&self.server, |principal, _| principal == addressee),
                        line,
                    );
                }
                None => self.dropped(DropReason::Unattributed, line.len()),
            },
            _ => self.dropped(DropReason::Unattributed, line.len()),
        }
    }

    fn request(
        &self,
        _incarnation: Incarnation,
        method: &str,
        line: &Bytes,
        envelope: &Envelope,
    ) -> Option<Bytes> {
        let id = envelope.id?.of(line);
        let mut answer = br#"{"jsonrpc":"2.0","id":"#.to_vec();
        answer.extend_from_slice(id);
        if method == "ping" {
            answer.extend_from_slice(br#","result":{}}"#);
        } else {
            // A request that cannot be put to one caller is refused, never guessed, never left open: a
            // child that waits for an answer may not even end when its stdin does.
            let shown: String = method
                .chars()
                .filter(|c| !c.is_control())
                .take(64)
                .collect();
            let message =
                format!("the gateway puts no {shown} request to the clients of a shared server");
            let error = serde_json::json!({"code": METHOD_NOT_FOUND, "message": message});
            answer.extend_from_slice(format!(r#","error":{error}}}"#).as_bytes());
            tracing::debug!(server_id = %self.server, method = shown, "refused a request of the server");
        }
        Some(into_frame(answer).into())
    }

    fn dropped(&self, why: DropReason, bytes: usize) {
        self.instruments.dropped(why);
        tracing::debug!(server_id = %self.server, reason = why.as_str(), bytes, "dropped a message of the server");
    }

    fn ready(&self, incarnation: Incarnation, handshake: &Handshake) {
        *self.users.lock().unwrap_or_else(PoisonError::into_inner) = Users::Nobody;
        if incarnation > Incarnation(1) {
            self.restore(handshake);
        }
    }

    fn lost(&self, _incarnation: Incarnation) {}
}

/// Sends a request of the gateway's own about a resource. Whatever the child says to it interests
/// nobody: the answer is dropped where it arrives.
fn tell_child(handle: &ServerHandle, method: &str, uri: &str) {
    let id = handle.mux().mint();
    let params = serde_json::json!({ "uri": uri });
    let message = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
    let submission = Submission {
        origin: None,
        observer: None,
        timeout: None,
        standing: false,
    };
    let frame = into_frame(message.into_bytes()).into();
    let _ = handle.mux().submit(id, frame, submission);
}

/// Hears the progress of one request for the session that it was made in.
#[derive(Debug)]
pub(super) struct ProgressToSession {
    /// The client's own token as it was written.
    pub(super) token: Bytes,
    pub(super) queue: Arc<Queue>,
    pub(super) instruments: ServerInstruments,
}

impl Observer for ProgressToSession {
    fn progress(&self, line: &Bytes, token: Span) {
        let own = splice(
            line,
            &mut [Edit {
                span: token,
                with: &self.token,
            }],
        );
        if !self.queue.push(own.into()) {
            self.instruments.dropped(DropReason::SlowStream);
        }
    }
}
