//! The closed sets of values that metric attributes may have.

use opentelemetry::KeyValue;

use crate::fault::FaultKind;

/// What every unknown value becomes, as the HTTP conventions name it.
const OTHER: &str = "_OTHER";

macro_rules! known {
    ($input:expr, $($word:literal)*) => {
        match $input { $($word => $word,)* _ => OTHER }
    };
}

/// The method as a metric attribute: itself if some MCP revision has it, else `_OTHER`.
pub fn method_label(method: &str) -> &'static str {
    known!(
        method,
        "initialize" "ping" "server/discover"
        "tools/list" "tools/call"
        "prompts/list" "prompts/get"
        "resources/list" "resources/templates/list" "resources/read" "resources/subscribe" "resources/unsubscribe"
        "completion/complete" "logging/setLevel" "subscriptions/listen"
        "tasks/list" "tasks/get" "tasks/result" "tasks/update" "tasks/cancel"
        "sampling/createMessage" "elicitation/create" "roots/list"
        "notifications/initialized" "notifications/cancelled" "notifications/progress" "notifications/message"
        "notifications/tools/list_changed" "notifications/prompts/list_changed"
        "notifications/resources/list_changed" "notifications/resources/updated"
        "notifications/roots/list_changed" "notifications/elicitation/complete"
        "notifications/subscriptions/acknowledged" "notifications/tasks/status"
    )
}

/// The protocol revision as a metric attribute: itself if it is one, else `_OTHER`.
pub fn revision_label(revision: &str) -> &'static str {
    known!(revision, "2024-11-05" "2025-03-26" "2025-06-18" "2025-11-25" "2026-07-28")
}

/// HTTP methods as metric attributes, the commonest first; the last one is for all others.
pub(super) const HTTP_METHODS: [&str; 11] = [
    "POST", "GET", "DELETE", "HEAD", "PUT", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY", OTHER,
];

/// The place of a method in [`HTTP_METHODS`].
pub(super) fn http_method_place(method: &str) -> usize {
    let known = HTTP_METHODS.iter().position(|known| *known == method);
    known.unwrap_or(HTTP_METHODS.len() - 1)
}

/// The method at a place in [`HTTP_METHODS`].
pub(super) fn http_method(place: usize) -> &'static str {
    HTTP_METHODS.get(place).copied().unwrap_or(OTHER)
}

/// The `error.type` of an HTTP status, for the statuses that mean the server failed.
pub(super) fn http_error_label(status: u16) -> Option<&'static str> {
    match status {
        0..=499 => None,
        500 => Some("500"),
        502 => Some("502"),
        503 => Some("503"),
        504 => Some("504"),
        _ => Some(OTHER),
    }
}

/// A JSON-RPC error code as a metric attribute: the codes of JSON-RPC, of the MCP revisions and our own.
fn code_label(code: i64) -> &'static str {
    macro_rules! below_zero {
        ($($code:literal)*) => {
            match code.checked_neg() { $(Some($code) => concat!("-", $code),)* _ => OTHER }
        };
    }
    below_zero!(
        32700 32600 32601 32602 32603
        32000 32001 32002 32020 32021 32022 32042
        31001 31002 31003 31004 31005 31006 31007 31008 31009 31010
    )
}

/// How one MCP message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A result, or a notification that was handed over.
    Ok,
    /// A result of `tools/call` with `isError: true`.
    ToolError,
    /// A JSON-RPC error of the other side, with its code.
    Error(i64),
    /// The gateway's own failure.
    Fault(FaultKind),
}

impl Outcome {
    /// The `error.type`, bounded: a code as text, `tool_error`, or the gateway's `error_code`.
    pub fn error_label(self) -> Option<&'static str> {
        match self {
            Self::Ok => None,
            Self::ToolError => Some("tool_error"),
            Self::Error(code) => Some(code_label(code)),
            Self::Fault(kind) => Some(kind.code()),
        }
    }

    /// The JSON-RPC code of the answer, where it is an error.
    pub fn rpc_code(self) -> Option<i64> {
        match self {
            Self::Ok | Self::ToolError => None,
            Self::Error(code) => Some(code),
            Self::Fault(kind) => Some(i64::from(kind.rpc_code())),
        }
    }

    /// The `rpc.response.status_code`, bounded.
    pub(super) fn code_label(self) -> Option<&'static str> {
        self.rpc_code().map(code_label)
    }
}

/// Why something that a child wrote, or that was meant for a client or a child, was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// An answer to a request that has left the table: timed out, cancelled, or of an earlier life.
    LateReply,
    /// An answer whose id was never given out.
    UnknownReply,
    /// A line that is no JSON-RPC message.
    GarbageLine,
    /// A line over `max_line_bytes` that answers no request.
    OversizeLine,
    /// A line that the child ended in the middle of.
    UnfinishedLine,
    /// Progress of nothing that is under way.
    UnknownProgress,
    /// A client's cancellation of nothing of its own that is under way, or of what could be several.
    UnknownCancellation,
    /// A request of a child that asks and does not read.
    UnreadRequest,
    /// A message that cannot be attributed to one caller.
    Unattributed,
    /// A notification for a session that nobody listens to.
    NoListener,
    /// An event for a stream whose client does not keep up.
    SlowStream,
}

impl DropReason {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::LateReply,
        Self::UnknownReply,
        Self::GarbageLine,
        Self::OversizeLine,
        Self::UnfinishedLine,
        Self::UnknownProgress,
        Self::UnknownCancellation,
        Self::UnreadRequest,
        Self::Unattributed,
        Self::NoListener,
        Self::SlowStream,
    ];

    /// The reason as a metric attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LateReply => "late_reply",
            Self::UnknownReply => "unknown_reply",
            Self::GarbageLine => "garbage_line",
            Self::OversizeLine => "oversize_line",
            Self::UnfinishedLine => "unfinished_line",
            Self::UnknownProgress => "unknown_progress",
            Self::UnknownCancellation => "unknown_cancellation",
            Self::UnreadRequest => "unread_request",
            Self::Unattributed => "unattributed",
            Self::NoListener => "no_listener",
            Self::SlowStream => "slow_stream",
        }
    }
}

/// Up to [`Labels::MAX`] attributes on the stack, so that recording does not allocate.
#[derive(Debug)]
pub(super) struct Labels {
    items: [KeyValue; Self::MAX],
    len: usize,
}

impl Labels {
    const MAX: usize = 8;

    /// Starts with a few; those over the bound are left out.
    pub(super) fn new(first: &[KeyValue]) -> Self {
        let mut labels = Self {
            items: std::array::from_fn(|_| KeyValue::new("", false)),
            len: 0,
        };
        for label in first {
            labels.push(label.clone());
        }
        labels
    }

    /// Adds one, unless the bound is reached.
    pub(super) fn push(&mut self, label: KeyValue) {
        if let Some(slot) = self.items.get_mut(self.len) {
            *slot = label;
            self.len += 1;
        }
    }

    /// What was added, in order.
    pub(super) fn as_slice(&self) -> &[KeyValue] {
        self.items.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// H077.
    #[test]
    fn unknown_words_share_one_label() {
        assert_eq!(method_label("tools/call"), "tools/call");
        assert_eq!(revision_label("2026-07-28"), "2026-07-28");
        assert_eq!(http_method(http_method_place("POST")), "POST");
        for invented in ["", "tools/call ", "TOOLS/CALL", "x/1", "x/2", "2026-07-29"] {
            assert_eq!(method_label(invented), OTHER, "{invented:?}");
            assert_eq!(revision_label(invented), OTHER, "{invented:?}");
            assert_eq!(
                http_method(http_method_place(invented)),
                OTHER,
                "{invented:?}"
            );
        }
    }

    #[test]
    fn every_code_of_the_catalogue_has_a_label_of_its_own_and_others_share_one() {
        for kind in FaultKind::ALL {
            let code = kind.rpc_code();
            assert_eq!(
                Outcome::Fault(*kind).code_label(),
                Some(code.to_string().as_str())
            );
        }
        assert_eq!(Outcome::Error(-32602).error_label(), Some("-32602"));
        for code in [0, 1, -1, 42, i64::MAX, i64::MIN] {
            assert_eq!(Outcome::Error(code).error_label(), Some(OTHER), "{code}");
        }
    }

    #[test]
    fn labels_keep_their_order_and_their_bound() {
        let mut labels = Labels::new(&[KeyValue::new("a", 0)]);
        for i in 1..20 {
            labels.push(KeyValue::new("k", i));
        }
        assert_eq!(labels.as_slice().len(), Labels::MAX);
        assert_eq!(labels.as_slice()[0], KeyValue::new("a", 0));
        assert_eq!(labels.as_slice()[7], KeyValue::new("k", 7));
    }
}
