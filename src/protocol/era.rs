//! The two eras of the protocol and their revisions.
//!
//! "Legacy" and "modern" are the specification's own words (MCP 2026-07-28, basic/versioning).

/// How a peer speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Era {
    /// 2024-11-05 to 2025-11-25: `initialize`, and a connection that remembers it.
    Legacy,
    /// 2026-07-28 on: no handshake, every request carries its claims in `_meta`.
    Modern,
}

impl Era {
    /// The word of the specification.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        }
    }
}

/// The revisions of the legacy era, oldest first.
pub const LEGACY_REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The newest revision of the legacy era: what a child is offered in `initialize`. A child that is
/// offered 2026-07-28 there answers with this one.
pub const NEWEST_LEGACY: &str = "2025-11-25";

/// The first revision of the modern era.
pub const MODERN_REVISION: &str = "2026-07-28";

/// Every revision that is spoken, newest first.
pub const REVISIONS: [&str; 5] = {
    let [first, second, third, fourth] = LEGACY_REVISIONS;
    [MODERN_REVISION, fourth, third, second, first]
};

/// The revision of this name, if it is spoken.
pub fn known_revision(name: &[u8]) -> Option<&'static str> {
    REVISIONS
        .into_iter()
        .find(|revision| revision.as_bytes() == name)
}

/// Keys of `_meta` that the specification defines.
pub mod meta_key {
    /// The revision that a modern request is made in.
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// What the sender of a modern request can be asked for.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// Who sent a modern request.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// Who answered a modern request.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// From which level on the sender of a modern request wants to hear of logs.
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// Which `subscriptions/listen` a notification belongs to.
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
    /// The task that a message belongs to.
    pub const RELATED_TASK: &str = "io.modelcontextprotocol/related-task";
}

/// The legacy revision that an `initialize` with this wish is answered with: the wish if we know it,
/// else the newest (MCP 2025-11-25, lifecycle, version negotiation).
pub fn negotiate_legacy(wish: &str) -> &'static str {
    LEGACY_REVISIONS
        .into_iter()
        .find(|revision| *revision == wish)
        .unwrap_or(NEWEST_LEGACY)
}
