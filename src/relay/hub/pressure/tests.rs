//! The pauses of a child for streams that are behind, and the work of finding out.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::*;

/// A sink of a fullness that a test sets, which counts how often it is asked for it.
#[derive(Debug, Default)]
struct Level(AtomicUsize, AtomicUsize);

impl Level {
    fn full() -> Self {
        Self(100.into(), 0.into())
    }
}

impl Sink for Level {
    fn push(&self, _message: Bytes) -> bool {
        true
    }

    fn fullness(&self) -> usize {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.load(Ordering::Relaxed)
    }
}

const ONE: PrincipalId = PrincipalId(1);
const OTHER: PrincipalId = PrincipalId(2);
const MS: Duration = Duration::from_millis(1);

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
                pressure.is_felt(Duration::ZERO, start, nobody),
                felt,
                "at {fullness} in a hundred"
            );
        }
    }
}

#[test]
fn who_does_not_catch_up_is_waited_for_once() {
    let (level, start) = (Arc::new(Level::full()), Instant::now());
    let sink: Arc<dyn Sink> = Arc::clone(&level) as _;
    let mut pressure = Pressure::default();
    let kind = StreamKind::Hearer;
    pressure.look_at(&sink, kind, ONE, start);
    assert!(pressure.is_felt(Duration::ZERO, start + PATIENCE / 2, nobody));
    // It takes a message now and then, and is given others.
    for after in [PATIENCE, 2 * PATIENCE, 100 * PATIENCE] {
        level.0.store(60, Ordering::Relaxed);
        pressure.look_at(&sink, kind, ONE, start + after);
        assert!(
            !pressure.is_felt(Duration::ZERO, start + after, nobody),
            "after {after:?}"
        );
    }
    level.0.store(0, Ordering::Relaxed);
    assert!(!pressure.is_felt(Duration::ZERO, start + 101 * PATIENCE, nobody));
    level.0.store(100, Ordering::Relaxed);
    pressure.look_at(&sink, kind, ONE, start + 102 * PATIENCE);
    assert!(
        pressure.is_felt(Duration::ZERO, start + 102 * PATIENCE, nobody),
        "it had caught up"
    );
}

/// How long a child is paused within a time in which it would write without end to one new stream after the
/// other.
fn paused(kind: StreamKind, time: Duration, others_wait: impl Fn(PrincipalId) -> bool) -> Duration {
    const STEP: Duration = Duration::from_millis(5);
    let mut pressure = Pressure::default();
    let (mut now, mut paused) = (Instant::now(), Duration::ZERO);
    let end = now + time;
    let mut streams: Vec<Arc<dyn Sink>> = Vec::new();
    while now < end {
        streams.push(Arc::new(Level::full()));
        pressure.look_at(streams.last().unwrap(), kind, ONE, now);
        let mut waited = Duration::ZERO;
        while pressure.is_felt(waited, now, &others_wait) {
            now += STEP;
            paused += STEP;
            waited = STEP;
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
    let sink: Arc<dyn Sink> = Arc::new(Level::full());
    let gone = Arc::downgrade(&sink);
    let mut pressure = Pressure::default();
    pressure.look_at(&sink, StreamKind::Hearer, ONE, Instant::now());
    drop(sink);
    assert!(gone.upgrade().is_none());
    assert!(!pressure.is_felt(Duration::ZERO, Instant::now(), nobody));
    assert!(pressure.is_empty());
}

/// RD03: a pause ends with the last stream that was behind, also where that was found by another than the reader of the
/// child: no time after it is charged, and all of the time before.
#[test]
fn a_principal_is_charged_for_the_pause_and_for_no_more() {
    for others in [false, true] {
        let start = Instant::now();
        let level = Arc::new(Level::full());
        let sink: Arc<dyn Sink> = Arc::clone(&level) as _;
        let mut pressure = Pressure::default();
        pressure.look_at(&sink, StreamKind::Call, ONE, start);
        assert!(pressure.is_felt(Duration::ZERO, start, |_| others));
        level.0.store(0, Ordering::Relaxed);
        pressure.look_at(&sink, StreamKind::Call, ONE, start + 2 * MS);
        assert!(pressure.is_empty());
        let end = start + 3 * MS;
        assert!(!pressure.is_felt(3 * MS, end, |_| others));
        let group = &pressure.groups[&ONE];
        assert_eq!(group.calls_regained, end + 3 * MS * REGAIN);
        let from_others = if others {
            3 * MS * REGAIN_MOMENT
        } else {
            Duration::ZERO
        };
        let regained = group.from_others_regained.max(end);
        assert_eq!(regained, end + from_others);
        let later = start + Duration::from_hours(1);
        level.0.store(100, Ordering::Relaxed);
        pressure.look_at(&sink, StreamKind::Call, ONE, later);
        assert!(pressure.is_felt(Duration::ZERO, later, |_| others));
        let almost = MOMENT.saturating_sub(MS);
        assert!(pressure.is_felt(almost, later + almost, |_| others));
    }
}

/// RD03: who has caught up is waited for anew, however many streams another principal does not read.
#[test]
fn unread_streams_of_one_do_not_hide_that_another_has_caught_up() {
    let start = Instant::now();
    let mut pressure = Pressure::default();
    let unread: Vec<Arc<dyn Sink>> = (0..5000).map(|_| Arc::new(Level::full()) as _).collect();
    for sink in &unread {
        pressure.look_at(sink, StreamKind::Hearer, ONE, start);
    }
    let level = Arc::new(Level::full());
    let sink: Arc<dyn Sink> = Arc::clone(&level) as _;
    pressure.look_at(&sink, StreamKind::Hearer, OTHER, start);
    let mut now = start + PATIENCE;
    assert!(!pressure.is_felt(Duration::ZERO, now, nobody));
    for _ in 0..100 {
        level.0.store(0, Ordering::Relaxed);
        for _ in 0..OVERDUE_CHECKS {
            assert!(!pressure.is_felt(Duration::ZERO, now, nobody));
        }
        level.0.store(100, Ordering::Relaxed);
        pressure.look_at(&sink, StreamKind::Hearer, OTHER, now);
        assert!(pressure.is_felt(Duration::ZERO, now, nobody));
        now += PATIENCE;
        assert!(!pressure.is_felt(PATIENCE, now, nobody));
    }
}

/// RD03: a line of the child costs the same whether one or thousands of streams of a token are not read, as long as they
/// are waited for and afterwards, and whether or not the child is asked for after each message.
#[test]
fn the_work_for_a_line_does_not_grow_with_unread_streams() {
    for kind in [StreamKind::Hearer, StreamKind::Call] {
        let start = Instant::now();
        let mut pressure = Pressure::default();
        let levels: Vec<_> = (0..5000).map(|_| Arc::new(Level::full())).collect();
        let asked = || -> usize {
            let asked = levels.iter().map(|level| level.1.load(Ordering::Relaxed));
            asked.sum()
        };
        for (number, level) in levels.iter().enumerate() {
            let sink: Arc<dyn Sink> = Arc::clone(level) as _;
            let principal = if number % 2 == 0 { ONE } else { OTHER };
            pressure.look_at(&sink, kind, principal, start);
        }
        // All lose their patience at once, which costs as much as it did to note them.
        pressure.is_felt(Duration::ZERO, start + PATIENCE, nobody);
        let before = asked();
        for line in 0..1000 {
            let now = start + PATIENCE / 2 * line;
            for (number, principal) in [(6, ONE), (7, OTHER)] {
                let sink: Arc<dyn Sink> = Arc::clone(&levels[number]) as _;
                pressure.look_at(&sink, kind, principal, now);
            }
            pressure.is_felt(Duration::ZERO, now, nobody);
        }
        let work = asked() - before;
        assert!(work <= 1000 * 6, "{kind:?}: {work}");
        let before = asked();
        for level in &levels {
            level.0.store(0, Ordering::Relaxed);
            let sink: Arc<dyn Sink> = Arc::clone(level) as _;
            pressure.look_at(&sink, kind, ONE, start);
        }
        assert!(pressure.is_empty());
        assert_eq!(asked() - before, levels.len(), "{kind:?}");
    }
}

/// RD03: streams that come and go leave nothing, also while one that was behind before them stays so.
#[test]
fn streams_that_are_gone_are_swept() {
    for kind in [StreamKind::Hearer, StreamKind::Call] {
        let start = Instant::now();
        let mut pressure = Pressure::default();
        let first: Arc<dyn Sink> = Arc::new(Level::full());
        pressure.look_at(&first, kind, ONE, start);
        for _ in 0..10_000 {
            let sink: Arc<dyn Sink> = Arc::new(Level::full());
            pressure.look_at(&sink, kind, ONE, start);
            pressure.is_felt(Duration::ZERO, start, nobody);
        }
        assert!(pressure.behind.len() <= MIN_SWEEP, "{kind:?}");
        let places = |group: &Group| group.hearers.len() + group.calls.len() + group.overdue.len();
        let queued: usize = pressure.groups.values().map(places).sum();
        assert!(queued <= MIN_SWEEP, "{kind:?}: {queued}");
    }
}
