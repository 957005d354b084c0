//! Hearers that are behind: a burst of the child is read no faster than they take it, for a moment.
//!
//! A child writes thousands of messages in the time that a stream takes to send a few hundred. Without a
//! pause every stream would overflow, also those whose clients read as fast as they can. But the pause is
//! everybody's who waits for the child, so each hearer has [`PATIENCE`] to catch up; one that does not is
//! not waited for again until it has, and loses its stream when that is full.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Sink;

/// Parts in a hundred of what may wait, above which a hearer is behind, and down to which it has to come
/// to have caught up. Far apart, or a client that takes one message in each pause would slow the child down
/// to its own pace.
const BEHIND: usize = 50;
const CAUGHT_UP: usize = 25;

/// How long a hearer is waited for. The system lets a stream go on when a third of its buffer is free again,
/// about a megabyte: enough for whoever reads that much in this time.
const PATIENCE: Duration = Duration::from_millis(250);

/// The hearers that are behind; usually none.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    behind: Vec<Behind>,
}

#[derive(Debug)]
struct Behind {
    sink: Arc<dyn Sink>,
    since: Instant,
}

impl Pressure {
    /// Looks at a hearer that was given a message.
    pub(super) fn look_at(&mut self, sink: &Arc<dyn Sink>, now: Instant) {
        let is_new = !self
            .behind
            .iter()
            .any(|behind| Arc::ptr_eq(&behind.sink, sink));
        if is_new && sink.fullness() > BEHIND {
            self.behind.push(Behind {
                sink: Arc::clone(sink),
                since: now,
            });
        }
    }

    /// Nobody is behind.
    pub(super) fn is_empty(&self) -> bool {
        self.behind.is_empty()
    }

    /// Whether anybody is to be waited for.
    pub(super) fn is_felt(&mut self, now: Instant) -> bool {
        self.behind
            .retain(|behind| behind.sink.fullness() > CAUGHT_UP);
        self.behind
            .iter()
            .any(|behind| now < behind.since + PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;

    use super::*;

    #[derive(Debug, Default)]
    struct Level(AtomicUsize);

    impl Sink for Level {
        fn push(&self, _message: Bytes) -> bool {
            true
        }

        fn fullness(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn who_is_behind_is_waited_for_until_it_has_caught_up() {
        let (level, start) = (Arc::new(Level::default()), Instant::now());
        let sink: Arc<dyn Sink> = Arc::clone(&level) as _;
        let mut pressure = Pressure::default();
        for (fullness, felt) in [
            (50, false),
            (51, true),
            (26, true),
            (25, false),
            (50, false),
        ] {
            level.0.store(fullness, Ordering::Relaxed);
            pressure.look_at(&sink, start);
            assert_eq!(pressure.is_felt(start), felt, "at {fullness} in a hundred");
        }
    }

    #[test]
    fn who_does_not_catch_up_is_waited_for_once() {
        let (level, start) = (Arc::new(Level(100.into())), Instant::now());
        let sink: Arc<dyn Sink> = Arc::clone(&level) as _;
        let mut pressure = Pressure::default();
        pressure.look_at(&sink, start);
        assert!(pressure.is_felt(start + PATIENCE / 2));
        // It takes a message now and then, and is given others.
        for after in [PATIENCE, 2 * PATIENCE, 100 * PATIENCE] {
            level.0.store(60, Ordering::Relaxed);
            pressure.look_at(&sink, start + after);
            assert!(!pressure.is_felt(start + after), "after {after:?}");
        }
        level.0.store(0, Ordering::Relaxed);
        assert!(!pressure.is_felt(start + 101 * PATIENCE));
        level.0.store(100, Ordering::Relaxed);
        pressure.look_at(&sink, start + 102 * PATIENCE);
        assert!(pressure.is_felt(start + 102 * PATIENCE), "it had caught up");
    }
}
