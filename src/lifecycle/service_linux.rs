//! What systemd wants to know of a `Type=notify` service; silent where there is no systemd.

use sd_notify::NotifyState;

use crate::shards::Shards;

/// The gateway listens, by the config in force.
pub(super) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("listening")]);
}

/// The gateway was asked to reload; [`ready`] says that it has.
pub(super) fn reloading() {
    // The time is what `Type=notify-reload` wants, and any other type ignores.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the clock could not be read"),
    }
}

/// The gateway was asked to end.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Shows twice in each watchdog interval that the threads turn, this one and those of the shards: where one is stuck, its
/// servers are lost to their clients. Never ends.
pub(super) async fn watchdog(pools: [&Shards; 2]) {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval(interval / 2);
    loop {
        ticks.tick().await;
        for shards in pools {
            shards.turn().await;
        }
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}
