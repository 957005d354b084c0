//! Hearers that are behind: a burst of the child is read no faster than they take it, for a moment.
//!
//! A child writes thousands of messages in the time that a stream takes to send a few hundred. Without a
//! pause every stream would overflow, also those whose clients read as fast as they can. But the pause is
//! everybody's who waits for the child, so it is bounded. Each stream of a hearer has [`PATIENCE`] to catch up; one
//! that does not is not waited for again until it has, and loses its stream when that is full. The streams of calls,
//! of which a client opens as many as it likes, are waited for at the expense of its principal's [`ALLOWANCE`]; when
//! that is used up they lose progress and logs. While another principal waits for the child, neither is waited for but
//! for a [`MOMENT`].

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

/// How long a child is paused for one principal while another waits for it, enough for a client that reads, and how
/// many times as long it takes to regain that: half a percent of the time, which no p99 shows.
const MOMENT: Duration = Duration::from_millis(25);
const REGAIN_MOMENT: u32 = 200;

/// The kind of stream that a sink is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamKind {
    /// A hearer's, which has its own patience.
    Hearer,
    /// That of a call, which is waited for at the expense of its principal.
    Call,
}

/// The hearers that are behind; usually none.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    behind: Vec<Behind>,
    /// Of those principals who are behind, or have used some of theirs and not regained it yet.
    allowances: Vec<Allowance>,
    /// When it was looked last, where the child is paused.
    paused: Option<Instant>,
}

#[derive(Debug)]
struct Behind {
    /// A reader that is gone takes with it what waited for it.
    sink: Weak<dyn Sink>,
    kind: StreamKind,
    principal: PrincipalId,
    since: Instant,
}

#[derive(Debug)]
struct Allowance {
    principal: PrincipalId,
    /// When all that its calls may take is regained.
    calls: Instant,
    /// When all that it may take from others is regained.
    from_others: Instant,
}

impl Allowance {
    fn is_left_for_calls(&self, now: Instant) -> bool {
        self.calls < now + ALLOWANCE * REGAIN
    }

    fn is_left_from_others(&self, now: Instant) -> bool {
        self.from_others < now + MOMENT * REGAIN_MOMENT
    }
}

impl Pressure {
    /// Looks at a sink that was given a message.
    pub(super) fn look_at(
        &mut self,
        sink: &Arc<dyn Sink>,
        kind: StreamKind,
        principal: PrincipalId,
        now: Instant,
    ) {
        if sink.fullness() <= BEHIND {
            return;
        }
        let known = |behind: &Behind| std::ptr::addr_eq(behind.sink.as_ptr(), Arc::as_ptr(sink));
        if !self.behind.iter().any(known) {
            self.behind.push(Behind {
                sink: Arc::downgrade(sink),
                kind,
                principal,
                since: now,
            });
        }
    }

    /// Nobody is behind.
    pub(super) fn is_empty(&self) -> bool {
        self.behind.is_empty()
    }

    /// Whether anybody is to be waited for. `others_wait` tells whether anybody but a principal waits for the child.
    pub(super) fn is_felt(
        &mut self,
        now: Instant,
        others_wait: impl Fn(PrincipalId) -> bool,
    ) -> bool {
        let waited = self.paused.take();
        let waited = waited.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let Self {
            behind, allowances, ..
        } = self;
        for one in &*behind {
            let principal = one.principal;
            if allowances.iter().all(|known| known.principal != principal) {
                allowances.push(Allowance {
                    principal,
                    calls: now,
                    from_others: now,
                });
            }
        }
        for allowance in allowances.iter_mut() {
            let principal = allowance.principal;
            let mut own = behind.iter().filter(|one| one.principal == principal);
            let Some(first) = own.next() else { continue };
            let is_call = |one: &Behind| one.kind == StreamKind::Call;
            if is_call(first) || own.any(is_call) {
                allowance.calls = allowance.calls.max(now) + waited * REGAIN;
            }
            if others_wait(principal) {
                allowance.from_others = allowance.from_others.max(now) + waited * REGAIN_MOMENT;
            }
        }
        let caught_up = |sink: Arc<dyn Sink>| sink.fullness() <= CAUGHT_UP;
        behind.retain(|one| one.sink.upgrade().is_some_and(|sink| !caught_up(sink)));
        let felt = behind.iter().any(|one| {
            let mut allowances = allowances.iter();
            let allowance = allowances.find(|known| known.principal == one.principal);
            let is_patient = match one.kind {
                StreamKind::Hearer => now < one.since + PATIENCE,
                StreamKind::Call => allowance.is_some_and(|known| known.is_left_for_calls(now)),
            };
            is_patient
                && (allowance.is_some_and(|known| known.is_left_from_others(now))
                    || !others_wait(one.principal))
        });
        allowances.retain(|allowance| allowance.calls > now || allowance.from_others > now);
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

    const ONE: PrincipalId = PrincipalId(1);

    fn nobody(_others: PrincipalId) -> bool {
        false
    }

    #[test]
    fn who_is_behind_is_waited_for_until_it_has_caught_up() {
        let (level, start) = (Arc::new(Level::default()), Instant::now());
        let sink: Arc<dyn Sink> = Arc::clone(&level) as _;
        for kind in [StreamKind::Hearer, StreamKind::Call] {
            let mut pressure = Pressure::default();
            for (fullness, felt) in [
                (50, false),
                (51, true),
                (26, true),
                (25, false),
                (50, false),
            ] {
                level.0.store(fullness, Ordering::Relaxed);
                pressure.look_at(&sink, kind, ONE, start);
                assert_eq!(
                    pressure.is_felt(start, nobody),
                    felt,
                    "at {fullness} in a hundred"
                );
            }
        }
    }

    #[test]
    fn who_does_not_catch_up_is_waited_for_once() {
        let (level, start) = (Arc::new(Level(100.into())), Instant::now());
        let sink: Arc<dyn Sink> = Arc::clone(&level) as _;
        let mut pressure = Pressure::default();
        let kind = StreamKind::Hearer;
        pressure.look_at(&sink, kind, ONE, start);
        assert!(pressure.is_felt(start + PATIENCE / 2, nobody));
        // It takes a message now and then, and is given others.
        for after in [PATIENCE, 2 * PATIENCE, 100 * PATIENCE] {
            level.0.store(60, Ordering::Relaxed);
            pressure.look_at(&sink, kind, ONE, start + after);
            assert!(!pressure.is_felt(start + after, nobody), "after {after:?}");
        }
        level.0.store(0, Ordering::Relaxed);
        assert!(!pressure.is_felt(start + 101 * PATIENCE, nobody));
        level.0.store(100, Ordering::Relaxed);
        pressure.look_at(&sink, kind, ONE, start + 102 * PATIENCE);
        assert!(
            pressure.is_felt(start + 102 * PATIENCE, nobody),
            "it had caught up"
        );
    }

    /// How long a child is paused within a time in which it would write without end to one new stream after the
    /// other.
    fn paused(
        kind: StreamKind,
        time: Duration,
        others_wait: impl Fn(PrincipalId) -> bool,
    ) -> Duration {
        const STEP: Duration = Duration::from_millis(5);
        let mut pressure = Pressure::default();
        let (mut now, mut paused) = (Instant::now(), Duration::ZERO);
        let end = now + time;
        let mut streams: Vec<Arc<dyn Sink>> = Vec::new();
        while now < end {
            streams.push(Arc::new(Level(100.into())));
            pressure.look_at(streams.last().unwrap(), kind, ONE, now);
            while pressure.is_felt(now, &others_wait) {
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
        let paused = paused(StreamKind::Call, time, nobody);
        assert!(paused >= ALLOWANCE, "{paused:?}");
        let most = ALLOWANCE + time / (REGAIN + 1) + Duration::from_secs(1);
        assert!(paused <= most, "{paused:?}");
    }

    /// RA01, RD03: streams that one principal does not read cost those who wait for the same child at most half a
    /// percent of their time, of whatever kind the streams are.
    #[test]
    fn others_are_kept_waiting_for_a_moment_at_most() {
        let time = Duration::from_secs(10);
        for kind in [StreamKind::Hearer, StreamKind::Call] {
            let paused = paused(kind, time, |principal| principal == ONE);
            assert!(paused >= MOMENT, "{paused:?}");
            assert!(paused <= MOMENT + time / 150, "{kind:?}: {paused:?}");
        }
    }

    /// RD03: what waited for a reader is freed when the reader goes, whether or not the child says anything more.
    #[test]
    fn a_sink_that_is_gone_is_not_kept() {
        let sink: Arc<dyn Sink> = Arc::new(Level(100.into()));
        let gone = Arc::downgrade(&sink);
        let mut pressure = Pressure::default();
        pressure.look_at(&sink, StreamKind::Hearer, ONE, Instant::now());
        drop(sink);
        assert!(gone.upgrade().is_none());
        assert!(!pressure.is_felt(Instant::now(), nobody));
        assert!(pressure.is_empty());
    }
}
