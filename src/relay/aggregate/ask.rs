//! One server is asked for one page of a list, and that is noted as any call is.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::Kind;
use super::gather::{LateCause, Reason};
use super::last_lists::Page;
use super::merge::Part;
use crate::audit;
use crate::instruments::Operation;
use crate::memory_budget::MemoryBudget;
use crate::protocol::message::Ending;
use crate::protocol::splice::into_frame;
use crate::protocol::{Era, scan};
use crate::relay::ended;
use crate::relay::upstream::Upstream;
use crate::spans::{self, Call, HttpSpan, MessageSpan};
use crate::supervisor::{self, Handshake, Origin, Submission, claims};
use crate::types::{Principal, QuotaPermit};

/// JSON-RPC: the method does not exist here.
const METHOD_NOT_FOUND: i64 = -32_601;

/// On whose behalf servers are asked.
#[derive(Clone, Debug)]
pub(super) struct Asker<'a> {
    /// Owns what is waited for no longer.
    pub(super) tasks: &'a TaskTracker,
    pub(super) memory: &'a MemoryBudget,
    pub(super) principal: Arc<Principal>,
    pub(super) session: Option<Arc<str>>,
    /// What the client's request takes of its token's quota.
    pub(super) quota: Option<QuotaPermit>,
    /// The client's id of the request.
    pub(super) client_id: Bytes,
}

impl Asker<'_> {
    /// Asks a server that has done the handshake; what it says after the deadline is only kept. `None` is
    /// the list of a server that does not know such lists.
    pub(super) async fn request(
        &self,
        kind: Kind,
        server: &Arc<Upstream>,
        cursor: Option<&str>,
        handshake: &Handshake,
        deadline: Instant,
    ) -> Result<Option<Page>, Reason> {
        let mux = server.handle.mux();
        let id = mux.mint();
        let minted = id.to_string();
        let mut noted = Noted {
            principal: Arc::clone(&self.principal),
            server: Arc::clone(server),
            kind,
            session: self.session.clone(),
            revision: handshake.revision.clone(),
            started: Instant::now(),
            bytes_in: 0,
            span: MessageSpan::none(),
        };
        noted.span = spans::client_of_http(&noted.call(Some(&minted)), &HttpSpan::current());
        let frame = list_frame(kind, &minted, cursor, handshake.era, &noted.span);
        noted.bytes_in = frame.len();
        let submission = Submission {
            origin: Some(Origin {
                principal: self.principal.id,
                session: self.session.clone(),
                client_id: self.client_id.clone(),
            }),
            quota: self.quota.clone(),
            ..Submission::own()
        };
        server.hub.used_by(self.principal.id);
        let submitted = mux.submit(id, frame, submission);
        let mut receiver = submitted.map_err(|fault| fault.message)?;
        if let Ok(outcome) = timeout_at(deadline, &mut receiver).await {
            let lost = |_closed| "was lost".into();
            return outcome.map_err(lost).and_then(|outcome| {
                noted.ended(&outcome);
                page(kind, outcome, self.memory)
            });
        }
        // What comes later is worth keeping, and until it does its principal waits for nothing again.
        let late = server.last_lists.late(self.principal.id, kind);
        let cursor = cursor.map(str::to_owned);
        let memory = self.memory.clone();
        self.tasks.spawn(async move {
            let Ok(outcome) = receiver.await else {
                return;
            };
            noted.ended(&outcome);
            let server = &noted.server;
            let is_kept = page(kind, outcome, &memory)
                .ok()
                .flatten()
                .is_some_and(|page| {
                    let part = Part::read(kind, server.handle.id(), &page.line, page.result);
                    let next = part.map(|part| part.next().map(str::to_owned));
                    next.is_ok_and(|next| {
                        let lists = &server.last_lists;
                        lists.remember(&memory, kind, cursor.as_deref(), page, next.as_deref())
                    })
                });
            for kind in late.end(is_kept) {
                server
                    .hub
                    .announce_list(kind.announced(), noted.principal.id);
            }
        });
        Err(Reason {
            text: format!("did not answer {} in time", kind.method()),
            late: Some(LateCause::Own),
        })
    }
}

/// What is noted of a request when it is over.
struct Noted {
    principal: Arc<Principal>,
    server: Arc<Upstream>,
    kind: Kind,
    session: Option<Arc<str>>,
    revision: String,
    started: Instant,
    bytes_in: usize,
    span: MessageSpan,
}

impl Noted {
    fn call<'a>(&'a self, id: Option<&'a str>) -> Call<'a> {
        Call {
            server: self.server.handle.id(),
            method: self.kind.method(),
            target: None,
            id,
            session: self.session.as_deref(),
            revision: Some(&self.revision),
        }
    }

    fn ended(&mut self, outcome: &supervisor::Outcome) {
        let ended = ended::kind(outcome);
        let bytes_out = outcome.as_ref().map_or(0, |answer| answer.line.len());
        let duration = self.started.elapsed();
        self.span.finish(ended);
        self.server.instruments.client_operation(&Operation {
            method: self.kind.method(),
            revision: Some(&self.revision),
            outcome: ended,
            duration,
        });
        audit::log(|| audit::Entry {
            principal: &self.principal,
            call: self.call(None),
            outcome: ended,
            duration,
            bytes_in: self.bytes_in,
            bytes_out,
        });
    }
}

/// A request for one page of a list, as a child of this era gets it, in the context of a span.
pub(in crate::relay) fn list_frame(
    kind: Kind,
    id: &str,
    cursor: Option<&str>,
    era: Era,
    span: &MessageSpan,
) -> Bytes {
    let mut meta = match era {
        Era::Modern => claims(|_| false),
        Era::Legacy => Vec::new(),
    };
    if let Some(context) = span.told() {
        meta.push(format!(r#""traceparent":"{}""#, context.traceparent()));
        if let Some(state) = context.tracestate().filter(|state| !state.is_empty()) {
            meta.push(format!(r#""tracestate":{}"#, serde_json::json!(state)));
        }
    }
    let mut params = Vec::new();
    if !meta.is_empty() {
        params.push(format!(r#""_meta":{{{}}}"#, meta.join(",")));
    }
    params.extend(cursor.map(|cursor| format!(r#""cursor":{}"#, serde_json::json!(cursor))));
    let (method, params) = (kind.method(), params.join(","));
    let message =
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#);
    into_frame(message.into_bytes()).into()
}

/// The page that a server has answered with; `None` where it knows no such list.
fn page(
    kind: Kind,
    outcome: supervisor::Outcome,
    memory: &MemoryBudget,
) -> Result<Option<Page>, Reason> {
    let answer = outcome.map_err(|fault| fault.message)?;
    match answer.ending {
        Ending::Result | Ending::ToolError => {
            let envelope = scan(&answer.line).unwrap_or_default();
            let line = memory.process_account().track(answer.line);
            Ok(Some(Page {
                line: line.map_err(|exhausted| exhausted.to_string())?,
                result: envelope.result.unwrap_or_default(),
            }))
        }
        Ending::Error(error) => match ended::error_code(error.of(&answer.line)) {
            METHOD_NOT_FOUND => Ok(None),
            code => Err(format!("answered {} with error {code}", kind.method()).into()),
        },
        Ending::InputRequired => Err(format!("wants input for {}", kind.method()).into()),
    }
}
