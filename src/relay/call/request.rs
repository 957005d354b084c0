//! One request on its way: what is known of it, and one round of it at the child.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use futures_util::future::Aborted;
use tokio::time::Instant;

use super::message::Message;
use super::plain::InSession;
use super::round::{Abandon, Round};
use crate::audit;
use crate::fault::{Delivered, Fault, FaultKind};
use crate::instruments::{Operation, Outcome};
use crate::protocol::level::Level;
use crate::protocol::message::Ending;
use crate::protocol::splice::{Edit, Patch, replaced, splice};
use crate::protocol::{Era, Span};
use crate::relay::Shared;
use crate::relay::api::{Caller, Door, Failure, Reply, Target};
use crate::relay::bridge::errors;
use crate::relay::calls::{Call, Party, Questions, Reach, Voice};
use crate::relay::ended;
use crate::relay::hub::{Ear, Raised, SubscriptionRequest};
use crate::relay::outlet::Outlet;
use crate::relay::servers::Leased;
use crate::relay::session::{Cancelled, Session};
use crate::spans::{self, MessageSpan};
use crate::supervisor::{self, Answer, Handshake, Observer, Origin, Submission};

/// A request, and all that its way depends on.
pub(in crate::relay) struct Request {
    pub(in crate::relay) shared: Arc<Shared>,
    /// The process that it is for.
    pub(in crate::relay) upstream: Leased,
    /// Where it was sent.
    pub(in crate::relay) target: Target,
    pub(in crate::relay) caller: Caller,
    /// The session of the plain endpoints that it names.
    pub(in crate::relay) plain: Option<InSession>,
    /// The session of the MCP endpoints that it was made in.
    pub(in crate::relay) session: Option<Arc<Session>>,
    pub(in crate::relay) message: Message,
    /// The message as the client sent it, which is what its headers repeat.
    pub(in crate::relay) sent: Message,
    pub(in crate::relay) id: Span,
    pub(in crate::relay) method: String,
    pub(in crate::relay) era: Era,
    /// Where what comes before the response goes, if the client takes a stream.
    pub(in crate::relay) outlet: Option<Arc<Outlet>>,
    /// The session that it is about to open.
    pub(in crate::relay) prepared: Option<Arc<Session>>,
    /// The id of the session that it has opened.
    pub(in crate::relay) opened: OnceLock<Arc<str>>,
    /// What it does about a subscription at a legacy server.
    pub(in crate::relay) subscription: OnceLock<Arc<SubscriptionRequest>>,
}

/// A response for the client, and what kind it is.
pub(super) type Answered = Result<(Bytes, Outcome), Fault>;

impl Request {
    /// Runs it to its end, or until it is cancelled.
    pub(super) async fn run(
        &self,
        started: Instant,
        cancelled: Option<impl Future<Output = Cancelled>>,
    ) -> Result<Reply, Failure> {
        let mut span = self.server_span();
        let answered = self.answer_unless(cancelled, &span).await;
        let answered = answered.and_then(|(message, outcome)| self.held(message, outcome));
        let duration = started.elapsed();
        let outcome = match &answered {
            Ok((_, outcome)) => *outcome,
            Err(fault) => Outcome::Fault(fault.kind),
        };
        span.finish(outcome);
        self.upstream.instruments.server_operation(&Operation {
            method: &self.method,
            revision: self.revision(),
            outcome,
            duration,
        });
        audit::log(|| audit::Entry {
            principal: &self.caller.principal,
            call: self.call(),
            outcome,
            duration,
            bytes_in: self.message.body.len(),
            bytes_out: answered.as_ref().map_or(0, |(bytes, _)| bytes.len()),
        });
        match answered {
            Ok((message, outcome)) => Ok(Reply {
                message,
                session: self.opened.get().cloned(),
                era: self.era,
                error: match outcome {
                    Outcome::Error(code) => Some(code),
                    _ => None,
                },
            }),
            Err(fault) => Err(Failure {
                fault,
                id: Some(self.message.text(self.id)),
                era: self.era,
            }),
        }
    }

    /// A response under the names that its client knows, held by the memory budget until it is written.
    fn held(&self, message: Bytes, outcome: Outcome) -> Answered {
        let held = self
            .shared
            .memory
            .track(self.caller.principal.id, self.named(message));
        held.map(|message| (message, outcome))
            .map_err(|exhausted| exhausted.fault(Delivered::Unknown))
    }

    /// The answer; or the end of a request that its client cancels while it waits for its turn, for the
    /// server to start, or for what a modern child wants to know. At the child it is ended there.
    async fn answer_unless(
        &self,
        cancelled: Option<impl Future<Output = Cancelled>>,
        span: &MessageSpan,
    ) -> Answered {
        let Some(cancelled) = cancelled else {
            return self.answer(span).await;
        };
        tokio::select! {
            biased;
            answered = self.answer(span) => answered,
            Err(Aborted) = cancelled => {
                let text = "the request was cancelled by its sender";
                Err(Fault::new(FaultKind::RequestCancelled, text).delivered(Delivered::Unknown))
            }
        }
    }

    pub(super) fn client_id(&self) -> &[u8] {
        self.id.of(&self.message.body)
    }

    /// It is of the modern era, at a door where that means what the transport says.
    pub(super) fn is_modern_mcp(&self) -> bool {
        self.caller.door == Door::Mcp && self.era == Era::Modern
    }

    /// The revision on the client's side, where it is known.
    pub(super) fn revision(&self) -> Option<&'static str> {
        self.session
            .as_ref()
            .map(|session| session.agreed().revision)
    }

    /// The client's ear at this server.
    pub(super) fn ear(&self) -> Option<Arc<Ear>> {
        let hub = &self.upstream.hub;
        self.session.as_ref()?.ear(hub)
    }

    /// In the course of such a request servers ask clients (MCP 2026-07-28, basic/patterns/mrtr).
    fn may_ask(&self) -> bool {
        matches!(
            self.method.as_str(),
            "tools/call" | "prompts/get" | "resources/read"
        )
    }

    /// The calls of a legacy server are made one by one, where that is configured, so that what it asks in the course
    /// of one belongs to it beyond doubt. What a modern one wants to know stands in its answer.
    fn is_exclusive(&self, handshake: &Handshake) -> bool {
        self.upstream.serializes && handshake.era == Era::Legacy && self.may_ask()
    }

    /// Sends a round of this request to the child.
    pub(super) fn begin(
        &self,
        handshake: &Handshake,
        parent: &MessageSpan,
        round: &Message,
    ) -> Result<Round, Fault> {
        let written = Instant::now();
        let (handle, mux) = (&self.upstream.handle, self.upstream.handle.mux());
        let id = mux.mint();
        let minted = id.to_string();
        let span = spans::client(
            || spans::Call {
                id: Some(&minted),
                revision: Some(&handshake.revision),
                ..self.call()
            },
            parent,
        );
        let frame = self.frame(&minted, handshake, &span, round)?;
        let frame = self
            .shared
            .memory
            .track(self.caller.principal.id, frame.into());
        let frame = frame.map_err(|exhausted| exhausted.fault(Delivered::No))?;
        self.upstream.hub.used_by(self.caller.principal.id);
        let mut questions = None;
        let call = (self.caller.door == Door::Mcp || self.may_ask()).then(|| {
            let call = self.as_call(id, handshake, round, &mut questions);
            self.upstream.calls.enter(call)
        });
        let submission = Submission {
            record: self.record(call.clone()),
            exclusive: self.is_exclusive(handshake),
            ..self.submission(call.as_ref(), round)
        };
        let raised = self.raise(handshake);
        let submitted = mux.submit(id, frame, submission);
        let receiver = submitted.inspect_err(|_refused| {
            // It never was in the table.
            if let Some(call) = &call {
                call.leave(None);
            }
        })?;
        Ok(Round {
            receiver,
            call,
            questions,
            span,
            written,
            _raised: raised,
            abandon: Abandon {
                handle: handle.clone(),
                id,
                // Only a client of the modern era cancels by going away.
                armed: self.era == Era::Modern,
            },
        })
    }

    /// `asked` becomes what a legacy child asks a modern client.
    fn as_call(
        &self,
        id: u64,
        handshake: &Handshake,
        round: &Message,
        asked: &mut Option<Arc<Questions>>,
    ) -> Call {
        let (party, reach) = match (&self.session, self.era) {
            (Some(session), _) => (
                Party::Session(Arc::clone(session.id())),
                Reach::Session(Arc::clone(session)),
            ),
            (None, Era::Modern)
                if self.caller.door == Door::Mcp && handshake.era == Era::Legacy =>
            {
                let questions = Arc::<Questions>::default();
                *asked = Some(Arc::clone(&questions));
                (
                    Party::Call(id),
                    Reach::Rounds {
                        features: self.features(),
                        questions,
                    },
                )
            }
            (None, _) => (Party::Call(id), Reach::None),
        };
        let level = match &self.session {
            // A session that never set a level gets what the server sends.
            Some(_) => Some(
                self.ear()
                    .and_then(|ear| ear.level())
                    .unwrap_or(Level::Debug),
            ),
            None => self.log_level(),
        };
        let token = round.meta().and_then(|meta| meta.progress_token);
        Call {
            id,
            party,
            principal: self.caller.principal.id,
            calls: Arc::downgrade(&self.upstream.calls),
            asks: self.may_ask(),
            level,
            reach,
            voice: Mutex::new(Voice {
                token: token.map(|token| round.text(token)),
                outlet: self.outlet.clone(),
            }),
            waits: AtomicBool::new(false),
        }
    }

    /// What the client of a modern request can be asked for.
    pub(super) fn features(&self) -> crate::relay::bridge::features::Features {
        let declared = self
            .message
            .meta()
            .and_then(|meta| meta.client_capabilities);
        let declared = declared.map_or(&b"{}"[..], |span| span.of(&self.message.body));
        crate::relay::bridge::features::Features::read(declared).unwrap_or_default()
    }

    /// The least severe log message that a modern request wants.
    fn log_level(&self) -> Option<Level> {
        let level = self.message.meta()?.log_level?;
        Level::of_json(level.of(&self.message.body))
    }

    /// A legacy child logs for all alike: it must log what this request wants as long as that runs.
    fn raise(&self, handshake: &Handshake) -> Option<Raised> {
        let level = self.log_level().filter(|_| {
            self.caller.door == Door::Mcp && self.session.is_none() && handshake.era == Era::Legacy
        })?;
        let principal = self.caller.principal.id;
        Some(self.upstream.hub.raise(level, principal))
    }

    fn submission(&self, call: Option<&Arc<Call>>, round: &Message) -> Submission {
        let observer: Option<Arc<dyn Observer>> = match (&self.plain, call) {
            (Some(plain), _) => {
                let token = round.meta().and_then(|meta| meta.progress_token);
                let (hub, principal) = (&self.upstream.hub, self.caller.principal.id);
                token.map(|token| plain.observer(round.text(token), hub, principal))
            }
            (None, Some(call)) => Some(Arc::clone(call) as _),
            (None, None) => None,
        };
        let session = self
            .session
            .as_ref()
            .map(|session| Arc::clone(session.id()));
        let origin = Origin {
            principal: self.caller.principal.id,
            session: session.or_else(|| self.plain.as_ref().map(|plain| Arc::clone(&plain.id))),
            client_id: self.message.text(self.id),
        };
        Submission {
            origin: Some(origin),
            observer,
            quota: self.caller.quota.clone(),
            ..Submission::own()
        }
    }

    /// It asks to be made a task of (MCP 2025-11-25, basic/utilities/tasks).
    fn is_task(&self) -> bool {
        let Some(params) = self.message.envelope.params else {
            return false;
        };
        self.method == "tools/call" && params.task.is_some()
    }

    /// The child's answer to a round, noted.
    pub(super) fn ended(
        &self,
        handshake: &Handshake,
        round: &mut Round,
        outcome: supervisor::Outcome,
    ) -> Result<(Answer, Outcome), Fault> {
        round.abandon.armed = false;
        if let (Ok(answer), Some(session)) = (&outcome, &self.session) {
            self.upstream
                .calls
                .answered(answer, session, self.is_task());
        }
        let ended = ended::kind(&outcome);
        round.span.finish(ended);
        self.upstream.instruments.client_operation(&Operation {
            method: &self.method,
            revision: Some(&handshake.revision),
            outcome: ended,
            duration: round.written.elapsed(),
        });
        if let Ok(answer) = &outcome {
            self.note_task(handshake, answer);
        }
        outcome.map(|answer| (answer, ended))
    }

    /// A child's line with the client's own id in it, and nothing in it that only the gateway says.
    pub(super) fn with_own_id(&self, answer: Answer) -> Bytes {
        let Answer { line, id, ending } = answer;
        let own_id = Edit {
            span: id,
            with: self.client_id(),
        };
        let Ending::Error(error) = ending else {
            return replaced(line, own_id);
        };
        let forged = errors::disown(&line, error);
        let mut edits = vec![own_id];
        edits.extend(forged.iter().map(Patch::edit));
        splice(&line, &mut edits).into()
    }
}
