//! How long to wait before a restart, and when to give up. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::config::{BackoffConfig, RestartLimit};

/// A server that stayed ready for this many first delays (and at least for the last delay) is taken
/// for stable: 60 s at the default of 2 s. Its next delay is the first one again.
const STABLE_FACTOR: u32 = 30;

/// What has been tried, and what that means for the next try.
#[derive(Clone, Debug)]
pub(super) struct Restarts {
    backoff: BackoffConfig,
    limit: RestartLimit,
    /// Delays since the last stable run.
    steps: u32,
    last_delay: Duration,
    /// Restarts within the window, oldest first.
    recent: VecDeque<Instant>,
    failed_starts: u32,
    /// A start that failed was excused since the last run or order.
    excused: bool,
    /// State of the generator of jitter (splitmix64).
    random: u64,
}

/// What to do after an end that the policy wants undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start again after this delay.
    After(Duration),
    /// The limit is reached.
    GiveUp,
}

impl Restarts {
    pub(super) fn new(backoff: BackoffConfig, limit: RestartLimit, seed: u64) -> Self {
        Self {
            backoff,
            limit,
            steps: 0,
            last_delay: Duration::ZERO,
            recent: VecDeque::new(),
            failed_starts: 0,
            excused: false,
            random: seed,
        }
    }

    /// The server was ready for `lasted` and is no more.
    pub(super) fn was_ready(&mut self, lasted: Duration) {
        self.failed_starts = 0;
        self.excused = false;
        if lasted >= (self.backoff.first * STABLE_FACTOR).max(self.last_delay) {
            self.steps = 0;
        }
    }

    /// The server did not become ready.
    pub(super) fn failed_start(&mut self) {
        self.failed_starts += 1;
    }

    /// Whether a start that failed by no fault of the server may go uncounted: one, until the server was
    /// ready or ordered to start.
    pub(super) fn excuse(&mut self) -> bool {
        !std::mem::replace(&mut self.excused, true)
    }

    /// Counts a restart, if there is to be one.
    pub(super) fn next(&mut self, now: Instant) -> Verdict {
        while self
            .recent
            .front()
            .is_some_and(|at| now.duration_since(*at) >= self.limit.window)
        {
            self.recent.pop_front();
        }
        let count = self.limit.count;
        if self.failed_starts >= count || self.recent.len() >= count as usize {
            return Verdict::GiveUp;
        }
        self.recent.push_back(now);
        Verdict::After(self.delay())
    }

    /// The next delay, of a restart that does not count.
    pub(super) fn delay(&mut self) -> Duration {
        let doubled = 1u32
            .checked_shl(self.steps)
            .map_or(Duration::MAX, |factor| {
                self.backoff.first.saturating_mul(factor)
            });
        self.steps = self.steps.saturating_add(1);
        let nominal = doubled.min(self.backoff.max);
        self.last_delay = nominal;
        nominal.mul_f64(0.8 + 0.4 * self.fraction())
    }

    /// A pause with up to a fifth of jitter, never shorter than `least`.
    pub(super) fn pause(&mut self, least: Duration) -> Duration {
        least.mul_f64(1.0 + 0.2 * self.fraction())
    }

    /// The config has changed: other delays and another limit, from the beginning.
    pub(super) fn configure(&mut self, backoff: BackoffConfig, limit: RestartLimit) {
        if (self.backoff, self.limit) != (backoff, limit) {
            (self.backoff, self.limit) = (backoff, limit);
            self.forget();
        }
    }

    /// An operator wants a new beginning.
    pub(super) fn forget(&mut self) {
        self.steps = 0;
        self.last_delay = Duration::ZERO;
        self.recent.clear();
        self.failed_starts = 0;
        self.excused = false;
    }

    /// Starts that failed since the server was last ready.
    pub(super) fn failed_starts(&self) -> u32 {
        self.failed_starts
    }

    /// The next number in 0..1.
    fn fraction(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        f64::from((mixed >> 32) as u32) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn restarts(count: u32, window: Duration) -> Restarts {
        let backoff = BackoffConfig {
            first: SECOND,
            max: 8 * SECOND,
        };
        Restarts::new(backoff, RestartLimit { count, window }, 7)
    }

    #[test]
    fn delays_double_up_to_the_longest_with_a_fifth_of_jitter() {
        let mut restarts = restarts(100, 1000 * SECOND);
        for nominal in [1.0, 2.0, 4.0, 8.0, 8.0, 8.0] {
            let Verdict::After(delay) = restarts.next(Instant::now()) else {
                panic!("gave up")
            };
            assert!(
                (nominal * 0.8..=nominal * 1.2).contains(&delay.as_secs_f64()),
                "{delay:?} for {nominal}"
            );
        }
        restarts.was_ready(29 * SECOND);
        assert!(
            matches!(restarts.next(Instant::now()), Verdict::After(delay) if delay > 6 * SECOND)
        );
        restarts.was_ready(30 * SECOND);
        assert!(
            matches!(restarts.next(Instant::now()), Verdict::After(delay) if delay < 2 * SECOND)
        );
    }

    #[test]
    fn the_window_slides() {
        let mut restarts = restarts(2, 10 * SECOND);
        let start = Instant::now();
        assert!(matches!(restarts.next(start), Verdict::After(_)));
        assert!(matches!(
            restarts.next(start + 9 * SECOND),
            Verdict::After(_)
        ));
        assert_eq!(restarts.next(start + 9 * SECOND), Verdict::GiveUp);
        assert!(matches!(
            restarts.next(start + 10 * SECOND),
            Verdict::After(_)
        ));
        restarts.forget();
        assert!(matches!(
            restarts.next(start + 10 * SECOND),
            Verdict::After(_)
        ));
    }

    #[test]
    fn failed_starts_in_a_row_end_it_however_far_apart() {
        let mut restarts = restarts(3, 10 * SECOND);
        let mut now = Instant::now();
        for _ in 0..2 {
            restarts.failed_start();
            now += 100 * SECOND;
            assert!(matches!(restarts.next(now), Verdict::After(_)));
        }
        restarts.failed_start();
        assert_eq!(restarts.next(now + 100 * SECOND), Verdict::GiveUp);
    }

    #[test]
    fn another_config_is_a_new_beginning_and_the_same_one_is_none() {
        let mut restarts = restarts(2, 1000 * SECOND);
        let (backoff, limit) = (restarts.backoff, restarts.limit);
        let now = Instant::now();
        restarts.next(now);
        restarts.next(now);
        restarts.configure(backoff, limit);
        assert_eq!(restarts.next(now), Verdict::GiveUp);
        restarts.configure(backoff, RestartLimit { count: 3, ..limit });
        for nominal in [1.0, 2.0, 4.0] {
            let Verdict::After(delay) = restarts.next(now) else {
                panic!("gave up")
            };
            assert!((nominal * 0.8..=nominal * 1.2).contains(&delay.as_secs_f64()));
        }
        assert_eq!(restarts.next(now), Verdict::GiveUp);
    }

    /// Servers that end together are not started together.
    #[test]
    fn jitter_spreads_over_its_whole_range() {
        let delay = |seed| {
            let (backoff, limit) = (restarts(1, SECOND).backoff, restarts(1, SECOND).limit);
            match Restarts::new(backoff, limit, seed).next(Instant::now()) {
                Verdict::After(delay) => delay.as_secs_f64(),
                Verdict::GiveUp => panic!("gave up"),
            }
        };
        // A tenth of the range each.
        let mut met = [0; 10];
        for delay in (0..1000).map(delay) {
            let tenth = met
                .iter_mut()
                .zip(1..)
                .find(|(_, n)| delay < 0.8 + 0.04 * f64::from(*n));
            *tenth.expect("below 1.2").0 += 1;
        }
        assert!(met.iter().all(|times| (50..200).contains(times)), "{met:?}");
    }

    #[derive(Clone, Copy, Debug)]
    enum Deed {
        Next,
        WasReady(Duration),
        Forget,
    }

    fn deed(longest: Duration) -> impl Strategy<Value = Deed> {
        let lasted = (0.0..2.0).prop_map(move |share| Deed::WasReady(longest.mul_f64(share)));
        prop_oneof![6 => Just(Deed::Next), 1 => lasted, 1 => Just(Deed::Forget)]
    }

    /// Delays as a config may have them: from a millisecond to a day.
    fn delays() -> impl Strategy<Value = (BackoffConfig, Vec<Deed>)> {
        let ms = 1u64..86_400_000;
        (ms.clone(), ms).prop_flat_map(|(one, other)| {
            let backoff = BackoffConfig {
                first: Duration::from_millis(one.min(other)),
                max: Duration::from_millis(one.max(other)),
            };
            let deeds = prop::collection::vec(deed(backoff.first * STABLE_FACTOR), 0..120);
            (Just(backoff), deeds)
        })
    }

    proptest! {
        /// Against a plain count: the delay is the first one doubled for each since the last stable run or
        /// order, never over the longest, and a fifth of jitter to either side.
        #[test]
        fn delays_keep_their_bounds_and_begin_anew_after_a_stable_run(
            (backoff, deeds) in delays(),
            seed in any::<u64>(),
        ) {
            let unlimited = RestartLimit { count: u32::MAX, window: Duration::from_millis(1) };
            let mut restarts = Restarts::new(backoff, unlimited, seed);
            let (mut nominal, mut now) = (None::<Duration>, Instant::now());
            for deed in deeds {
                match deed {
                    Deed::Next => {
                        let expected = nominal.map_or(backoff.first, |last| (last * 2).min(backoff.max));
                        let Verdict::After(delay) = restarts.next(now) else {
                            panic!("gave up")
                        };
                        let bounds = expected.mul_f64(0.799)..=expected.mul_f64(1.201);
                        prop_assert!(bounds.contains(&delay), "{delay:?} for {expected:?}");
                        nominal = Some(expected);
                        now += delay;
                    }
                    Deed::WasReady(lasted) => {
                        let last = nominal.unwrap_or_default();
                        if lasted >= backoff.first * STABLE_FACTOR && lasted >= last {
                            nominal = None;
                        }
                    }
                    Deed::Forget => nominal = None,
                }
                match deed {
                    Deed::Next => {}
                    Deed::WasReady(lasted) => restarts.was_ready(lasted),
                    Deed::Forget => restarts.forget(),
                }
            }
        }
    }
}
