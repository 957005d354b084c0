//! What the relay must know: the bounds of event streams and sessions, and who shares a process of each
//! server.

use std::sync::Arc;
use std::time::Duration;

use crate::supervisor;

/// The relay, every value final and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Events that may wait for a slow reader of one stream.
    pub stream_queue_events: usize,
    /// Bytes that may wait for a slow reader of one stream.
    pub stream_queue_bytes: usize,
    /// Open event streams of one token.
    pub max_streams_per_token: usize,
    /// How long a response may be silent before its client is sent a comment.
    pub silence: Duration,
    /// How long a session may stay without a request and without a stream.
    pub session_idle: Duration,
    /// Sessions of one token.
    pub max_sessions_per_token: usize,
    /// Events of one session that are kept for a client that comes back.
    pub replay_events: usize,
    /// Bytes of one session that are kept for a client that comes back.
    pub replay_bytes: usize,
    /// Bytes that all sessions of one token keep together for that.
    pub replay_bytes_per_token: usize,
    /// Bytes that large requests, answers and kept events may take together, in the whole process.
    pub memory_bytes: usize,
}

/// One server, every value final and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// How each of its processes is run. Its `client_capabilities` are those below, for every instance
    /// that is told nothing else.
    pub supervisor: supervisor::Config,
    /// Who shares a process.
    pub instance: Instance,
    /// A session with a process of its own is revived after that is gone, with a new process.
    pub revive_sessions: bool,
    /// How a process that asks something of a client is kept from asking the wrong one.
    pub client_features: ClientFeatures,
    /// What a legacy process is told that clients can do, where it is not one client's own.
    pub client_capabilities: ClientCapabilities,
    /// Processes at the same time, where they are not shared by all.
    pub max_instances: usize,
    /// How long a process that nobody uses is kept, where it is not shared by all.
    pub instance_idle: Duration,
}

impl ServerConfig {
    /// The processes that one principal may have at the same time.
    pub fn instances_of_one(&self) -> usize {
        self.supervisor.requests.share(self.max_instances)
    }
}

/// Who shares a process of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Instance {
    /// All clients.
    #[default]
    Shared,
    /// Nobody: each session has its own; requests without a session share one a token.
    Session,
    /// The clients of one token.
    Client,
}

impl Instance {
    /// The word in the config file and in `/servers`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Session => "session",
            Self::Client => "client",
        }
    }
}

/// What is done for a legacy process that asks something while requests of several clients are under
/// way: it does not say on whose behalf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientFeatures {
    /// It is refused, unless all requests under way are of one client.
    #[default]
    Attribute,
    /// Requests that may ask something are written one at a time, so that the client is known.
    Serialize,
}

/// What clients can be asked (`ClientCapabilities`, MCP 2025-11-25, basic/lifecycle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientCapabilities {
    /// To fill in a form, or to visit a URL.
    pub elicitation: bool,
    /// To have a model complete a message.
    pub sampling: bool,
    /// Which folders they work in.
    pub roots: bool,
}

impl Default for ClientCapabilities {
    /// Those that can be put to whoever made a request; roots would be those of one client of many.
    fn default() -> Self {
        Self {
            elicitation: true,
            sampling: true,
            roots: false,
        }
    }
}

impl ClientCapabilities {
    /// As `capabilities` of `initialize`: a JSON object.
    pub fn json(self) -> Arc<str> {
        let told = [
            (self.elicitation, r#""elicitation":{"form":{},"url":{}}"#),
            (self.sampling, r#""sampling":{}"#),
            (self.roots, r#""roots":{}"#),
        ];
        let told = told.into_iter().filter(|(told, _)| *told);
        let members: Vec<_> = told.map(|(_, member)| member).collect();
        format!("{{{}}}", members.join(",")).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_told_as_the_specification_writes_them() {
        let told = |elicitation, sampling, roots| {
            let capabilities = ClientCapabilities {
                elicitation,
                sampling,
                roots,
            };
            capabilities.json().to_string()
        };
        assert_eq!(told(false, false, false), "{}");
        assert_eq!(
            told(true, true, true),
            r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#
        );
        assert_eq!(told(false, false, true), r#"{"roots":{}}"#);
    }
}
