//! The closed catalogue of what can go wrong for a caller, free of HTTP.
//!
//! The edge maps a [`FaultKind`] to a status; in-band answers on `/mcp` use [`FaultKind::rpc_code`].

use std::borrow::Cow;
use std::time::Duration;

/// Whether a request that failed can have run in the child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// No byte of it was written to the child: safe to send again.
    No,
    /// It was written, at least in part: it may have run.
    Unknown,
}

impl Delivered {
    /// The value as clients see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

macro_rules! fault_kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $rpc:literal;)*) => {
        /// Every kind of failure that a client can be told of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FaultKind {
            $($(#[$doc])* $name,)*
        }

        impl FaultKind {
            /// All kinds, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The `error_code` of the plain endpoints.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// The JSON-RPC error code of an in-band answer.
            ///
            /// Codes of our own lie outside -32768..-32000, which the specification reserves
            /// (MCP 2026-07-28, basic/index, Error Codes).
            pub fn rpc_code(self) -> i32 {
                match self { $(Self::$name => $rpc),* }
            }
        }
    };
}

impl FaultKind {
    /// Whether a request that would be written to a server ends with this kind before it is: who sends it again does not do
    /// twice what it asks for. A later round of a call may say otherwise ([`Fault::delivered`]).
    fn refuses_delivery(self) -> bool {
        matches!(
            self,
            Self::RateLimited
                | Self::ServerStarting
                | Self::ServerFailed
                | Self::ServerStopped
                | Self::ServerBusy
        )
    }
}

fault_kinds! {
    /// Not JSON at all (or not UTF-8, or nested too deeply).
    ParseError = "invalid_request", -32700;
    /// JSON, but not one JSON-RPC 2.0 message, or a bad id, or a bad wrapper.
    InvalidRequest = "invalid_request", -32600;
    /// Not exactly one valid bearer token.
    AuthFailed = "auth_failed", -32600;
    /// The peer's address is not in the allowlist, or the token lacks a right.
    AuthDenied = "auth_denied", -32600;
    /// The `Host` is not one of ours.
    HostDenied = "host_denied", -32600;
    /// The `Origin` is not one of ours.
    OriginDenied = "origin_denied", -32600;
    /// Unknown path.
    NotFound = "not_found", -32601;
    /// Unknown server, or one that the token does not reach.
    ServerNotFound = "server_not_found", -32600;
    /// Unknown, ended or foreign session.
    SessionNotFound = "session_not_found", -32600;
    /// The path exists, the method does not.
    MethodNotAllowed = "method_not_allowed", -32600;
    /// The client accepts nothing that we could answer with.
    NotAcceptable = "not_acceptable", -32600;
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout", -32600;
    /// The body is over the cap.
    PayloadTooLarge = "payload_too_large", -32600;
    /// The request target is over the cap.
    UriTooLong = "uri_too_long", -32600;
    /// The body is not `application/json` in UTF-8 without encoding.
    UnsupportedMediaType = "unsupported_media_type", -32600;
    /// The header block is over the cap.
    HeadersTooLarge = "headers_too_large", -32600;
    /// Over a rate or share of this token or address.
    RateLimited = "rate_limited", -31004;
    /// The hold window ran out while the server was starting or waiting to be restarted.
    ServerStarting = "server_starting", -31001;
    /// The supervisor gave the server up.
    ServerFailed = "server_failed", -31002;
    /// Stopped by the operator, or disabled.
    ServerStopped = "server_stopped", -31003;
    /// An operator's verb for a server that the configuration disables.
    ServerDisabled = "server_disabled", -32600;
    /// The in-flight or queue bound of the server is reached.
    ServerBusy = "server_busy", -31004;
    /// The child was lost after the write began.
    ServerLost = "server_lost", -31005;
    /// The deadline passed; a cancellation was sent to the child.
    ServerTimeout = "server_timeout", -31006;
    /// A protocol revision, or an era, that is not served at this endpoint.
    UnsupportedVersion = "unsupported_version", -32022;
    /// Params that the method cannot take: claims of the modern era that are missing, a `requestState`
    /// that was not given out for this request, an `inputResponse` of the wrong shape.
    InvalidParams = "invalid_params", -32602;
    /// A method that this endpoint, or this era, does not have.
    MethodNotFound = "method_not_found", -32601;
    /// A header says otherwise than the body, or is missing (MCP 2026-07-28, streamable-http).
    HeaderMismatch = "header_mismatch", -32020;
    /// The client did not declare what the request needs of it.
    MissingCapability = "missing_capability", -32021;
    /// The child's answer is over the cap.
    ReplyTooLarge = "reply_too_large", -31007;
    /// The child's answer bears the right id but is no JSON-RPC response.
    BadReply = "bad_reply", -31008;
    /// The gateway is shutting down.
    ShuttingDown = "shutting_down", -31009;
    /// The caller cancelled the request.
    RequestCancelled = "request_cancelled", -31010;
    /// A fault of ours; details are only in the log.
    InternalError = "internal_error", -32603;
}

/// One failure as a client is told of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", kind.code())]
pub struct Fault {
    /// Which entry of the catalogue.
    pub kind: FaultKind,
    /// One sentence for a person, naming the input; never a secret or a pid, and no path but that of a
    /// server's own program.
    pub message: Cow<'static, str>,
    /// Whether the request can have run, where that has a meaning.
    pub delivered: Option<Delivered>,
    /// When it makes sense to try again.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault with nothing but its kind and a sentence, and what the kind itself says of the delivery.
    pub fn new(kind: FaultKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            message: message.into(),
            delivered: kind.refuses_delivery().then_some(Delivered::No),
            retry_after: None,
        }
    }

    /// The same fault, saying whether the request can have run.
    #[must_use]
    pub fn delivered(mut self, delivered: Delivered) -> Self {
        self.delivered = Some(delivered);
        self
    }

    /// The same fault, saying when to try again.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_our_own_lie_outside_the_reserved_range() {
        // -32020 to -32022 are the specification's own: HeaderMismatch, MissingRequiredClientCapability,
        // UnsupportedProtocolVersion.
        for kind in FaultKind::ALL {
            let code = kind.rpc_code();
            let standard = matches!(code, -32700 | -32603..=-32600 | -32022..=-32020);
            assert!(
                standard || !(-32768..=-32000).contains(&code),
                "{kind:?}: {code}"
            );
        }
    }
}
