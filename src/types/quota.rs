//! A part of what one token may have under way.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

/// One request of a token's quota. Whatever works for the request holds a clone; the quota has the request back
/// when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct QuotaPermit(
    #[expect(dead_code, reason = "held to be dropped")] Arc<OwnedSemaphorePermit>,
);

impl QuotaPermit {
    /// Shares a permit among those who work for its request.
    pub fn new(permit: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(permit))
    }
}
