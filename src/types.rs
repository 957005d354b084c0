//! Words of the house: values that were parsed once and cannot be wrong afterwards.

mod principal;
mod quota;
mod secret;
mod server_id;
mod token;
pub mod wall;

pub use principal::{Principal, PrincipalId, TokenFingerprint};
pub use quota::QuotaPermit;
pub use secret::Secret;
pub use server_id::{InvalidServerId, RESERVED_SERVER_IDS, ServerId};
pub use token::{TOKEN_PREFIX, fresh_token, is_own_token, token_of};

/// Which life of a server something belongs to.
///
/// Counts from 1 with each spawn of the server's process and is never reused, so that an event of an
/// earlier life can be told from one of the present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The incarnation that follows this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for Incarnation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
