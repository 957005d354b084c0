//! Nothing to be told: launchd watches the process itself.

/// The gateway listens.
pub(super) fn ready() {}

/// The gateway was asked to end.
pub(super) fn stopping() {}

/// Never ends.
pub(super) async fn watchdog() {
    std::future::pending().await
}
