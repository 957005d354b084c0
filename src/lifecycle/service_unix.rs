//! Nothing to be told: launchd watches the process itself.

use crate::shards::Shards;

/// The gateway listens, by the config in force.
pub(super) fn ready() {}

/// The gateway was asked to reload; [`ready`] says that it has.
pub(super) fn reloading() {}

/// The gateway was asked to end.
pub(super) fn stopping() {}

/// Never ends.
pub(super) async fn watchdog(_pools: [&Shards; 2]) {
    std::future::pending().await
}
