//! The instruments of one server.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;

use super::labels::{DropReason, Labels, Outcome, method_label, revision_label};
use super::seen::Seen;
use super::{Held, Instruments, own};
use crate::types::ServerId;

/// One finished MCP message, as it is measured.
#[derive(Clone, Copy, Debug)]
pub struct Operation<'a> {
    /// The JSON-RPC method as it came; the metric bounds it.
    pub method: &'a str,
    /// The protocol revision that was spoken, where it is known.
    pub revision: Option<&'a str>,
    /// How it ended.
    pub outcome: Outcome,
    /// From its arrival (or its write to the child) to its end.
    pub duration: Duration,
}

/// The instruments of one server; cheap to clone and to record with.
#[derive(Clone, Debug)]
pub struct ServerInstruments {
    all: Instruments,
    server: KeyValue,
}

impl ServerInstruments {
    pub(super) fn new(all: Instruments, server: &ServerId) -> Self {
        let name: Arc<str> = server.as_str().into();
        Self {
            all,
            server: KeyValue::new(own!("server.id"), name),
        }
    }

    /// Records a message that a client sent to this server: `mcp.server.operation.duration`.
    pub fn server_operation(&self, operation: &Operation<'_>) {
        let transport = [
            KeyValue::new("network.transport", "tcp"),
            KeyValue::new("network.protocol.name", "http"),
        ];
        self.record(&self.all.server_operation, operation, &transport);
    }

    /// Records a message that we wrote to the child: `mcp.client.operation.duration`.
    pub fn client_operation(&self, operation: &Operation<'_>) {
        let transport = [KeyValue::new("network.transport", "pipe")];
        self.record(&self.all.client_operation, operation, &transport);
    }

    fn record(&self, into: &Histogram<f64>, operation: &Operation<'_>, transport: &[KeyValue]) {
        let Operation {
            method,
            revision,
            outcome,
            duration,
        } = *operation;
        let mut labels = Labels::new(transport);
        labels.push(self.server.clone());
        labels.push(KeyValue::new("mcp.method.name", method_label(method)));
        if method == "tools/call" {
            labels.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
        }
        if let Some(revision) = revision {
            labels.push(KeyValue::new(
                "mcp.protocol.version",
                revision_label(revision),
            ));
        }
        if let Some(kind) = outcome.error_label() {
            labels.push(KeyValue::new("error.type", kind));
        }
        if let Some(code) = outcome.code_label() {
            labels.push(KeyValue::new("rpc.response.status_code", code));
        }
        into.record(duration.as_secs_f64(), labels.as_slice());
    }

    /// Counts a start after the first.
    pub fn restarted(&self) {
        self.all.restarts.add(1, std::slice::from_ref(&self.server));
    }

    /// Has one instance of the server looked at whenever metrics are collected, until `look` gives
    /// `None`: it is gone then. Instances add up.
    pub fn watch(&self, look: impl Fn() -> Option<Seen> + Send + Sync + 'static) {
        self.all.watched.watch(self.server.clone(), Box::new(look));
    }

    /// Counts an event stream as open until the answer is dropped.
    pub fn stream(&self) -> Held {
        Held::new(&self.all.streams, Some(self.server.clone()))
    }

    /// Counts one answer whose id was a string of the digits that were asked with.
    pub fn tolerated_id(&self) {
        self.all
            .tolerated_ids
            .add(1, std::slice::from_ref(&self.server));
    }

    /// Counts one message or line that was dropped.
    pub fn dropped(&self, why: DropReason) {
        let labels = [self.server.clone(), KeyValue::new("reason", why.as_str())];
        self.all.dropped.add(1, &labels);
    }
}
