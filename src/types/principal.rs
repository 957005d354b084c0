//! Who is speaking: what a valid bearer token stands for.

use std::sync::Arc;

use super::ServerId;

/// A digest of everything that the config says of a token: what is bound to it outlives the process, and ends when the entry
/// is another.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenFingerprint([u8; 32]);

impl TokenFingerprint {
    /// A fingerprint that was computed before.
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// Its bytes, to be bound to.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for TokenFingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenFingerprint").finish_non_exhaustive()
    }
}

/// A number for a principal, unique in one run of the gateway; cheap to copy and compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrincipalId(pub u32);

/// One holder of a token: everything that a session, a log line or an answer is bound to.
///
/// Holds the token's name, never the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Unique in one run of the gateway.
    pub id: PrincipalId,
    /// What its sessions are bound to beyond one run of the gateway.
    pub fingerprint: TokenFingerprint,
    /// The token's configured name, for logs.
    pub name: Arc<str>,
    /// May start, stop and restart servers.
    pub admin: bool,
    /// The servers that the token reaches; `None` reaches all.
    pub servers: Option<Arc<[ServerId]>>,
}

impl Principal {
    /// Whether this principal may know of and talk to a server.
    pub fn may_reach(&self, server: &ServerId) -> bool {
        self.servers
            .as_ref()
            .is_none_or(|servers| servers.contains(server))
    }
}
