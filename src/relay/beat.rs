//! A beat for short waits of which almost none comes to its end.
//!
//! A call in a session waits for its response for a short while, and then becomes a stream. With a timer of its own each
//! call would wake the thread that waits for sockets, because the end of so short a wait comes before any other:
//! a system call and two changes of thread, a fifth of what a small call takes. One beat for all of them costs
//! one wake-up in a period, and none while there are no calls.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

/// Strikes once a period for as long as somebody listens.
#[derive(Debug)]
pub(super) struct Beat {
    period: Duration,
    struck: Notify,
    /// Somebody listens since the last beat.
    expected: AtomicBool,
    /// Told when somebody begins to listen.
    wanted: Notify,
}

impl Beat {
    /// Strikes once `strike` runs.
    pub(super) fn new(period: Duration) -> Self {
        Self {
            period,
            struck: Notify::new(),
            expected: AtomicBool::new(false),
            wanted: Notify::new(),
        }
    }

    /// Waits for one period at least and two at most.
    pub(super) async fn wait(&self) {
        // The first beat may come at once.
        self.next().await;
        self.next().await;
    }

    fn next(&self) -> impl Future<Output = ()> {
        // It hears what is struck from here on, polled or not.
        let struck = self.struck.notified();
        if !self.expected.swap(true, Ordering::SeqCst) {
            self.wanted.notify_one();
        }
        struck
    }

    /// Never ends.
    pub(super) async fn strike(&self) {
        loop {
            sleep(self.period).await;
            let expected = self.expected.swap(false, Ordering::SeqCst);
            self.struck.notify_waiters();
            if !expected {
                self.wanted.notified().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::Arc;
    use tokio::task::JoinSet;
    use tokio::time::Instant;

    const PERIOD: Duration = Duration::from_millis(50);

    fn striking() -> (Arc<Beat>, JoinSet<()>) {
        let beat = Arc::new(Beat::new(PERIOD));
        let striker = Arc::clone(&beat);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { striker.strike().await });
        (beat, tasks)
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_takes_one_period_to_two_whenever_it_begins() {
        let (beat, _striker) = striking();
        let waits = (0..200).map(|begins| {
            let beat = Arc::clone(&beat);
            async move {
                sleep(Duration::from_millis(begins * 7)).await;
                let began = Instant::now();
                beat.wait().await;
                began.elapsed()
            }
        });
        for took in join_all(waits).await {
            assert!((PERIOD..=PERIOD * 2).contains(&took), "{took:?}");
        }
        // After a pause as well.
        sleep(PERIOD * 100).await;
        let began = Instant::now();
        beat.wait().await;
        assert!((PERIOD..=PERIOD * 2).contains(&began.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_struck_while_nobody_listens() {
        let (beat, _striker) = striking();
        beat.wait().await;
        // What was left over from the wait.
        sleep(PERIOD * 3).await;
        let unheard = beat.struck.notified();
        tokio::select! {
            () = unheard => panic!("struck for nobody"),
            () = sleep(PERIOD * 100) => {}
        }
    }
}
