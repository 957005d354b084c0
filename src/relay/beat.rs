//! A beat for short waits of which almost none comes to its end.
//!
//! A call in a session waits for its response for a short while, and then becomes a stream. With a timer of its own each
//! call would wake the thread that waits for sockets, because the end of so short a wait comes before any other:
//! a system call and two changes of thread, a fifth of what a small call takes. One beat for all of them costs
//! one wake-up in a period, and none while there are no calls.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

/// Strikes once a period for as long as somebody listens, and wakes none but those who have waited for long enough.
///
/// A beat that woke everybody would delay them: woken by another thread they queue behind what their own has to do,
/// and the answer that comes meanwhile cannot wake them a second time.
#[derive(Debug, Default)]
pub(super) struct Beat {
    /// Beats until now.
    count: AtomicUsize,
    /// Who began to wait in a period of an even number, and of an odd one.
    waiting: [Notify; 2],
    /// Somebody began to wait since the last beat.
    expected: AtomicBool,
    /// Told when somebody begins to wait.
    wanted: Notify,
}

impl Beat {
    /// Waits for one period at least and two at most.
    pub(super) fn wait(&self) -> impl Future<Output = ()> {
        // The next beat may come at once, and is for those of the period before.
        let waiting = self.waiting_since(self.count.load(Ordering::SeqCst));
        // It hears what is struck from here on, polled or not.
        let waited = waiting.notified();
        if !self.expected.swap(true, Ordering::SeqCst) {
            self.wanted.notify_one();
        }
        waited
    }

    fn waiting_since(&self, period: usize) -> &Notify {
        let [even, odd] = &self.waiting;
        if period.is_multiple_of(2) { even } else { odd }
    }

    /// Strikes once in a period, which is asked for anew each time. Never ends.
    pub(super) async fn strike(&self, period: impl Fn() -> Duration) {
        loop {
            sleep(period()).await;
            let expected = self.expected.swap(false, Ordering::SeqCst);
            let ended = self.count.fetch_add(1, Ordering::SeqCst);
            // Those of the period that has just ended wait for the next beat.
            self.waiting_since(ended.wrapping_add(1)).notify_waiters();
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
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Wake, Waker};
    use tokio::task::JoinSet;
    use tokio::time::Instant;

    const PERIOD: Duration = Duration::from_millis(50);

    /// How often a waiter was woken.
    #[derive(Debug, Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn striking() -> (Arc<Beat>, JoinSet<()>) {
        let beat = Arc::new(Beat::default());
        let striker = Arc::clone(&beat);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { striker.strike(|| PERIOD).await });
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
        let beats = || beat.count.load(Ordering::SeqCst);
        let before = beats();
        sleep(PERIOD * 100).await;
        assert_eq!(beats(), before, "struck for nobody");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_answered_within_a_period_is_never_woken_by_it() {
        let (beat, _striker) = striking();
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..200 {
            sleep(Duration::from_millis(rng.u64(0..50))).await;
            let wait = pin!(beat.wait());
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(Arc::clone(&wakes));
            assert!(wait.poll(&mut Context::from_waker(&waker)).is_pending());
            sleep(PERIOD * 9 / 10).await;
            assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
        }
    }
}
