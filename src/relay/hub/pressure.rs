//! Hearers that are behind: a burst of the child is read no faster than they take it, for a moment.
//!
//! A child writes thousands of messages in the time that a stream takes to send a few hundred. Without a
//! pause every stream would overflow, also those whose clients read as fast as they can. But the pause is
//! everybody's who waits for the child, so it is bounded. Each stream of a hearer has [`PATIENCE`] to catch up; one
//! that does not is not waited for again until it has, and loses its stream when that is full. The streams of calls,
//! of which a client opens as many as it likes, are waited for at the expense of its principal's [`ALLOWANCE`]; when
//! that is used up they lose progress and logs.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::Sink;
use crate::types::PrincipalId;

/// Parts in a hundred of what may wait, above which a hearer is behind, and down to which it has to come
/// to have caught up. Far apart, or a client that takes one message in each pause would slow the child down
/// to its own pace.
const BEHIND: usize = 50;
const CAUGHT_UP: usize = 25;

/// How long a hearer is waited for. The system lets a stream go on when a third of its buffer is free again,
/// about a megabyte: enough for whoever reads that much in this time.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long a child is paused for the calls of one principal, and how many times as long it takes to regain that.
const ALLOWANCE: Duration = Duration::from_millis(500);
const REGAIN: u32 = 4;

/// At whose expense a sink is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payer {
    /// Nobody's: it has its own patience.
    Nobody,
    /// That of all calls of this principal.
    Principal(PrincipalId),
}

/// The hearers that are behind; usually none.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    behind: Vec<Behind>,
    /// Of those principals who have used some of theirs and not regained it yet.
    allowances: Vec<Allowance>,
    /// When it was looked last, where the child is paused.
    paused: Option<Instant>,
}

#[derive(Debug)]
struct Behind {
    /// A reader that is gone takes with it what waited for it.
    sink: Weak<dyn Sink>,
    payer: Payer,
    since: Instant,
}

#[derive(Debug)]
struct Allowance {
    principal: PrincipalId,
    /// When all of it is regained.
    regained: Instant,
}

impl Allowance {
    fn has_left(&self, now: Instant) -> bool {
        self.regained < now + ALLOWANCE * REGAIN
    }

    fn spend(&mut self, time: Duration, now: Instant) {
        self.regained = self.regained.max(now) + time * REGAIN;
    }
}

impl Pressure {
    /// Looks at a sink that was given a message.
    pub(super) fn look_at(&mut self, sink: &Arc<dyn Sink>, payer: Payer, now: Instant) {
        if sink.fullness() <= BEHIND {
            return;
        }
        let known = |behind: &Behind| std::ptr::addr_eq(behind.sink.as_ptr(), Arc::as_ptr(sink));
        if !self.behind.iter().any(known) {
            self.behind.push(Behind {
                sink: Arc::downgrade(sink),
                payer,
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
        let waited = self.paused.take();
        let waited = waited.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let Self {
            behind, allowances, ..
        } = self;
        for one in &*behind {
            if let Payer::Principal(principal) = one.payer
                && allowances.iter().all(|known| known.principal != principal)
            {
                allowances.push(Allowance {
                    principal,
                    regained: now,
                });
            }
        }
        let pays = |allowance: &Allowance| {
            let payer = Payer::Principal(allowance.principal);
            behind.iter().any(|one| one.payer == payer)
        };
        for allowance in allowances.iter_mut().filter(|allowance| pays(allowance)) {
            allowance.spend(waited, now);
        }
        let caught_up = |sink: Arc<dyn Sink>| sink.fullness() <= CAUGHT_UP;
        behind.retain(|one| one.sink.upgrade().is_some_and(|sink| !caught_up(sink)));
        let felt = behind.iter().any(|one| match one.payer {
            Payer::Nobody => now < one.since + PATIENCE,
            Payer::Principal(principal) => allowances
                .iter()
                .any(|known| known.principal == principal && known.has_left(now)),
        });
        allowances.retain(|allowance| allowance.regained > now);
        self.paused = felt.then_some(now);
        felt
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
        for payer in [Payer::Nobody, Payer::Principal(PrincipalId(1))] {
            let mut pressure = Pressure::default();
            for (fullness, felt) in [
                (50, false),
                (51, true),
                (26, true),
                (25, false),
                (50, false),
            ] {
                level.0.store(fullness, Ordering::Relaxed);
                pressure.look_at(&sink, payer, start);
                assert_eq!(pressure.is_felt(start), felt, "at {fullness} in a hundred");
            }
        }
    }

    #[test]
    fn who_does_not_catch_up_is_waited_for_once() {
        let (level, start) = (Arc::new(Level(100.into())), Instant::now());
        let sink: Arc<dyn Sink> = Arc::clone(&level) as _;
        let mut pressure = Pressure::default();
        let payer = Payer::Nobody;
        pressure.look_at(&sink, payer, start);
        assert!(pressure.is_felt(start + PATIENCE / 2));
        // It takes a message now and then, and is given others.
        for after in [PATIENCE, 2 * PATIENCE, 100 * PATIENCE] {
            level.0.store(60, Ordering::Relaxed);
            pressure.look_at(&sink, payer, start + after);
            assert!(!pressure.is_felt(start + after), "after {after:?}");
        }
        level.0.store(0, Ordering::Relaxed);
        assert!(!pressure.is_felt(start + 101 * PATIENCE));
        level.0.store(100, Ordering::Relaxed);
        pressure.look_at(&sink, payer, start + 102 * PATIENCE);
        assert!(pressure.is_felt(start + 102 * PATIENCE), "it had caught up");
    }

    /// How long a child is paused within a time in which it would write without end to one new stream after the
    /// other.
    fn paused(payer: Payer, time: Duration) -> Duration {
        const STEP: Duration = Duration::from_millis(20);
        let mut pressure = Pressure::default();
        let (mut now, mut paused) = (Instant::now(), Duration::ZERO);
        let end = now + time;
        let mut streams: Vec<Arc<dyn Sink>> = Vec::new();
        while now < end {
            streams.push(Arc::new(Level(100.into())));
            pressure.look_at(streams.last().unwrap(), payer, now);
            while pressure.is_felt(now) {
                now += STEP;
                paused += STEP;
            }
            now += STEP;
        }
        paused
    }

    /// RA01: many calls of one principal that nobody reads cost the others little.
    #[test]
    fn the_calls_of_one_principal_share_an_allowance() {
        let time = Duration::from_secs(10);
        let paused = paused(Payer::Principal(PrincipalId(1)), time);
        assert!(paused >= ALLOWANCE, "{paused:?}");
        let most = ALLOWANCE + time / (REGAIN + 1) + Duration::from_secs(1);
        assert!(paused <= most, "{paused:?}");
    }

    /// RD03: what waited for a reader is freed when the reader goes, whether or not the child says anything more.
    #[test]
    fn a_sink_that_is_gone_is_not_kept() {
        let sink: Arc<dyn Sink> = Arc::new(Level(100.into()));
        let gone = Arc::downgrade(&sink);
        let mut pressure = Pressure::default();
        pressure.look_at(&sink, Payer::Nobody, Instant::now());
        drop(sink);
        assert!(gone.upgrade().is_none());
        assert!(!pressure.is_felt(Instant::now()));
        assert!(pressure.is_empty());
    }
}
