//! The instruments of one server.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::BoundUpDownCounter;

use super::bound::Bound;
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
pub struct ServerInstruments(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: Instruments,
    server: KeyValue,
    streams: BoundUpDownCounter<i64>,
    from_clients: Bound<Key>,
    to_child: Bound<Key>,
}

/// What the labels of a message are made of, besides its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    method: &'static str,
    revision: Option<&'static str>,
    error: Option<&'static str>,
    code: Option<&'static str>,
}

impl Key {
    fn of(operation: &Operation<'_>) -> Self {
        Self {
            method: method_label(operation.method),
            revision: operation.revision.map(revision_label),
            error: operation.outcome.error_label(),
            code: operation.outcome.code_label(),
        }
    }

    fn labels(self, server: &KeyValue, transport: &[KeyValue]) -> Labels {
        let mut labels = Labels::new(transport);
        labels.push(server.clone());
        labels.push(KeyValue::new("mcp.method.name", self.method));
        if self.method == "tools/call" {
            labels.push(KeyValue::new("gen_ai.operation.name", "execute_tool"));
        }
        if let Some(revision) = self.revision {
            labels.push(KeyValue::new("mcp.protocol.version", revision));
        }
        if let Some(kind) = self.error {
            labels.push(KeyValue::new("error.type", kind));
        }
        if let Some(code) = self.code {
            labels.push(KeyValue::new("rpc.response.status_code", code));
        }
        labels
    }
}

impl ServerInstruments {
    pub(super) fn new(all: Instruments, server: &ServerId) -> Self {
        let name: Arc<str> = server.as_str().into();
        let server = KeyValue::new(own!("server.id"), name);
        let streams = all.streams.bind(std::slice::from_ref(&server));
        Self(Arc::new(Inner {
            all,
            server,
            streams,
            from_clients: Bound::default(),
            to_child: Bound::default(),
        }))
    }

    /// Records a message that a client sent to this server: `mcp.server.operation.duration`.
    pub fn server_operation(&self, operation: &Operation<'_>) {
        let Inner { all, server, .. } = &*self.0;
        let key = Key::of(operation);
        let bind = || {
            let transport = [
                KeyValue::new("network.transport", "tcp"),
                KeyValue::new("network.protocol.name", "http"),
            ];
            let labels = key.labels(server, &transport);
            all.server_operation.bind(labels.as_slice())
        };
        let seconds = operation.duration.as_secs_f64();
        self.0.from_clients.record(key, seconds, bind);
    }

    /// Records a message that we wrote to the child: `mcp.client.operation.duration`.
    pub fn client_operation(&self, operation: &Operation<'_>) {
        let Inner { all, server, .. } = &*self.0;
        let key = Key::of(operation);
        let bind = || {
            let transport = [KeyValue::new("network.transport", "pipe")];
            let labels = key.labels(server, &transport);
            all.client_operation.bind(labels.as_slice())
        };
        let seconds = operation.duration.as_secs_f64();
        self.0.to_child.record(key, seconds, bind);
    }

    /// Counts a start after the first.
    pub fn restarted(&self) {
        let Inner { all, server, .. } = &*self.0;
        all.restarts.add(1, std::slice::from_ref(server));
    }

    /// Has one instance of the server looked at whenever metrics are collected, until `look` gives
    /// `None`: it is gone then. Instances add up.
    pub fn watch(&self, look: impl Fn() -> Option<Seen> + Send + Sync + 'static) {
        let Inner { all, server, .. } = &*self.0;
        all.watched.watch(server.clone(), Box::new(look));
    }

    /// Counts an event stream as open until the answer is dropped.
    pub fn stream(&self) -> Held {
        Held::new(&self.0.streams)
    }

    /// Counts one message that was taken although it deviates from the specification in this way.
    pub fn tolerated(&self, deviation: &'static str) {
        let Inner { all, server, .. } = &*self.0;
        let labels = [server.clone(), KeyValue::new("deviation", deviation)];
        all.tolerated_messages.add(1, &labels);
    }

    /// Counts one message or line that was dropped.
    pub fn dropped(&self, why: DropReason) {
        let Inner { all, server, .. } = &*self.0;
        let labels = [server.clone(), KeyValue::new("reason", why.as_str())];
        all.dropped.add(1, &labels);
    }
}
