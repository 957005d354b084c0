//! What the gateway answers itself, and what it must know of a request before the child gets it.

use std::borrow::Cow;

use super::request::{Answered, Request};
use crate::fault::{Delivered, Fault, FaultKind};
use crate::instruments::Outcome;
use crate::protocol::Era;
use crate::protocol::level::Level;
use crate::protocol::message::Ending;
use crate::relay::answers;
use crate::relay::tasks::CreatedTask;
use crate::spans::MessageSpan;
use crate::supervisor::{Answer, Handshake};

impl Request {
    pub(super) async fn answer(&self, span: &MessageSpan) -> Answered {
        let own = |bytes: Vec<u8>| Ok((bytes.into(), Outcome::Ok));
        let handle = &self.upstream.handle;
        if self.method == "ping" {
            return own(answers::empty(self.client_id()));
        }
        if self.method == "subscriptions/listen" {
            let text = "subscriptions/listen has no stream here, expected GET on this path for notifications";
            return Err(Fault::new(FaultKind::InvalidRequest, text).delivered(Delivered::No));
        }
        if let Some(session) = &self.prepared {
            return own(self.open_session(session).await?);
        }
        if self.method == "tasks/list" && self.upstream.is_shared() {
            let text = "all clients share this server, and its list would be of the tasks of all";
            return Err(Fault::new(FaultKind::MethodNotFound, text).delivered(Delivered::No));
        }
        self.check_task()?;
        let handshake = handle.wait_for_handshake().await?;
        match self.method.as_str() {
            "initialize" => {
                let params = self.message.params();
                return own(answers::initialize(
                    self.client_id(),
                    params,
                    &self.as_told(&handshake),
                ));
            }
            "server/discover" => return own(answers::discover(self.client_id(), &handshake)),
            "resources/subscribe" => return self.subscribe(&handshake, span).await,
            "resources/unsubscribe" => return self.unsubscribe(&handshake, span).await,
            "logging/setLevel" if self.has_own_level() => {
                return self.set_level(&handshake).await;
            }
            _ => {}
        }
        self.ask_child(&handshake, span).await
    }

    /// What the child said of itself, as this client is told: where all share it, that there is a list of
    /// tasks is left out, because it would be of the tasks of all.
    pub(super) fn as_told<'a>(&self, handshake: &'a Handshake) -> Cow<'a, Handshake> {
        if self.upstream.is_shared() {
            answers::without_task_list(handshake)
        } else {
            Cow::Borrowed(handshake)
        }
    }

    /// Refuses a task of another principal as the server would one that does not exist.
    fn check_task(&self) -> Result<(), Fault> {
        let (text, params) = (&self.message.body, self.message.envelope.params);
        let Some(params) = params.filter(|_| self.upstream.is_shared()) else {
            return Ok(());
        };
        let is_about_tasks = self.method.starts_with("tasks/");
        let principal = self.caller.principal.id;
        let checked = self
            .upstream
            .tasks
            .check(text, &params, is_about_tasks, principal);
        let refused = |text| Fault::new(FaultKind::InvalidParams, text).delivered(Delivered::No);
        checked.map_err(refused)
    }

    /// Notes whose task it is, where the child has created one in place of an answer.
    pub(super) fn note_task(&self, handshake: &Handshake, answer: &Answer) {
        // A server that knows no tasks does not pay for a look into its answers.
        if !self.upstream.is_shared()
            || answer.ending != Ending::Result
            || !handshake.capabilities.names_tasks()
        {
            return;
        }
        if let Some(created) = CreatedTask::read(&answer.line) {
            self.upstream
                .tasks
                .insert(created, self.caller.principal.id);
        }
    }

    /// The level is that of the client alone: of its session, or of none where it hears no logs of a server that all
    /// share.
    fn has_own_level(&self) -> bool {
        self.session.is_some() || self.plain.is_some() || self.upstream.is_shared()
    }

    /// A level is the session's own; the child logs what the most curious of them wants.
    async fn set_level(&self, handshake: &Handshake) -> Answered {
        let Some(level) = Level::of_params(self.message.params()) else {
            let text = "params.level is not a log level, expected debug, info, notice, warning, error, critical, alert or emergency";
            return Err(Fault::new(FaultKind::InvalidParams, text).delivered(Delivered::No));
        };
        if let Some(ear) = self.ear() {
            ear.set_level(level);
        }
        if let Some(plain) = &self.plain {
            self.shared.sessions.set_level(&plain.id, level);
        }
        if handshake.era == Era::Legacy {
            self.upstream
                .hub
                .level_changed(self.caller.principal.id)
                .await?;
        }
        Ok((answers::empty(self.client_id()).into(), Outcome::Ok))
    }
}
