//! A request that is about to be answered: everything about it that needs waiting.

use std::sync::Arc;

use tokio::time::Instant;

use super::request::Request;
use super::{modern, stream};
use crate::fault::Fault;
use crate::relay::api::{Answer, Failure, Reply};
use crate::relay::servers::Server;
use crate::relay::session::{Running, Session};

/// A request that is about to be answered. It lives on the heap and never moves: futures that hold others by value
/// are copied whole at every level, and a request has ten levels to pass.
pub(in crate::relay) struct Pending {
    pub(super) request: Request,
    pub(super) started: Instant,
    pub(super) running: Option<Running>,
    pub(super) unopened: Option<Unopened>,
}

/// Ends the processes that were started for a session of which nothing comes: its client is refused, or goes
/// away before it is answered.
pub(in crate::relay) struct Unopened {
    pub(in crate::relay) servers: Vec<Arc<Server>>,
    pub(in crate::relay) session: Arc<Session>,
    pub(in crate::relay) armed: bool,
}

impl Drop for Unopened {
    fn drop(&mut self) {
        if self.armed {
            for server in &self.servers {
                server.instances.end_session(self.session.id());
            }
        }
    }
}

impl Pending {
    /// Waits for the answer; see [`Relay::message`](crate::relay::Relay::message) for what dropping the future means.
    pub(in crate::relay) async fn answer(mut self: Box<Self>) -> Result<Answer, Failure> {
        if self.request.is_modern_mcp() && self.request.method == "subscriptions/listen" {
            let shared = Arc::clone(&self.request.shared);
            let server = Some(self.request.upstream.handle.id().clone());
            let takes_stream = self.request.caller.streams;
            let listening = Box::pin(self.listen());
            return stream::patient(&shared, server, listening, takes_stream).await;
        }
        let Some(outlet) = self.request.outlet.clone() else {
            return self.run().await.map(Answer::Reply);
        };
        let shared = Arc::clone(&self.request.shared);
        let server = self.request.upstream.handle.id().clone();
        let opens = self.request.prepared.as_ref();
        let terms = stream::Terms {
            session: self.request.session.clone(),
            opens: opens.map(|session| Arc::clone(session.id())),
            prefers_stream: self.request.caller.prefers_stream,
        };
        let run = Box::pin(async move { self.run().await });
        stream::answer(&shared, server, run, outlet, terms).await
    }

    async fn listen(mut self: Box<Self>) -> Result<Answer, Failure> {
        self.settle().await?;
        let checked = modern::check(&self.request).await;
        checked.map_err(|fault| self.failed(fault))?;
        let stream = self.request.listen().await;
        stream
            .map(Answer::Stream)
            .map_err(|fault| self.failed(fault))
    }

    /// Finds the process that is for the client's era, where that was not known when the request came.
    async fn settle(&mut self) -> Result<(), Failure> {
        if !self.request.upstream.is_settled() {
            let settled = self.request.upstream.settle().await;
            self.request.upstream = settled.map_err(|fault| self.failed(fault))?;
        }
        Ok(())
    }

    async fn run(&mut self) -> Result<Reply, Failure> {
        self.settle().await?;
        if self.request.is_modern_mcp() {
            let checked = modern::check(&self.request).await;
            checked.map_err(|fault| self.failed(fault))?;
        }
        let cancelled = self.running.as_mut().and_then(Running::cancelled);
        let answered = self.request.run(self.started, cancelled).await;
        if let (Some(unopened), true) = (&mut self.unopened, answered.is_ok()) {
            unopened.armed = false;
        }
        // Its session has nothing under way any more, whoever still holds this.
        self.running = None;
        answered
    }

    fn failed(&self, fault: Fault) -> Failure {
        let Request {
            message, id, era, ..
        } = &self.request;
        Failure {
            fault,
            id: Some(message.text(*id)),
            era: *era,
        }
    }
}
