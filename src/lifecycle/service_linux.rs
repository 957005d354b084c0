//! What systemd wants to know of a `Type=notify` service; silent where there is no systemd.

use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::Instant;

use crate::shards::{Pulse, Shard};

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

/// Feeds the watchdog of the service manager until it is dropped.
pub(super) struct Watchdog {
    _end: Sender<Infallible>,
}

/// Starts to feed the watchdog, where the service manager has one, for as long as these event loops run their tasks.
///
/// That is done by a thread of its own, so that no event loop, busy as it may be, can delay it. One that is busy for less
/// than the interval is alive. One that has run no task for longer is lost to its clients: then the watchdog is not fed,
/// and the service manager restarts the gateway after one more interval at most.
pub(super) fn watchdog(loops: impl Iterator<Item = Shard>) -> io::Result<Option<Watchdog>> {
    let Some(interval) = sd_notify::watchdog_enabled() else {
        return Ok(None);
    };
    let mut pulse = Pulse::new(loops);
    let (end, ended) = mpsc::channel();
    thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || {
            let silence = || pulse.longest_silence(Instant::now());
            feed(interval, silence, &ended, || tell(&[NotifyState::Watchdog]));
        })?;
    Ok(Some(Watchdog { _end: end }))
}

/// Feeds four times in an interval, which leaves a busy machine a quarter of it, while no silence is longer than one.
fn feed(
    interval: Duration,
    mut silence: impl FnMut() -> Duration,
    ended: &Receiver<Infallible>,
    mut tell: impl FnMut(),
) {
    let mut was_alive = true;
    loop {
        let silence = silence();
        let is_alive = silence <= interval;
        if is_alive {
            tell();
        } else if was_alive {
            let seconds = silence.as_secs();
            tracing::error!(
                seconds,
                "bug: an event loop has run no task for {seconds} s, the watchdog is not fed"
            );
        }
        was_alive = is_alive;
        if !matches!(
            ended.recv_timeout(interval / 4),
            Err(RecvTimeoutError::Timeout)
        ) {
            return;
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be notified");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RD02: a loop that is busy for a while is alive, one that stays silent for an interval is not.
    #[test]
    fn it_is_fed_while_no_loop_is_silent_for_an_interval() {
        let interval = Duration::from_millis(40);
        let mut silences = [0, 30, 40, 41, 400, 0]
            .map(Duration::from_millis)
            .into_iter();
        let (end, ended) = mpsc::channel();
        let mut end = Some(end);
        let mut asked = 0;
        let silence = || {
            asked += 1;
            let silence = silences.next().unwrap();
            if silences.len() == 0 {
                end.take();
            }
            silence
        };
        let mut fed = 0;
        feed(interval, silence, &ended, || fed += 1);
        assert_eq!((asked, fed), (6, 4));
    }
}
