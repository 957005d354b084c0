//! Nothing to be told: launchd watches the process itself.

use std::io;

use crate::shards::Shard;

/// The gateway listens, by the config in force.
pub(super) fn ready() {}

/// The gateway was asked to reload; [`ready`] says that it has.
pub(super) fn reloading() {}

/// The gateway was asked to end.
pub(super) fn stopping() {}

/// There is none to be fed.
pub(super) struct Watchdog;

/// Starts nothing.
#[expect(
    clippy::unnecessary_wraps,
    reason = "the twin for systemd starts a thread"
)]
pub(super) fn watchdog(_loops: impl Iterator<Item = Shard>) -> io::Result<Option<Watchdog>> {
    Ok(None)
}
