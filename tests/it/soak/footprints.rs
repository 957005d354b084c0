//! What the gateway holds over time: descriptors, threads, memory, and how they slope.
//!
//! A slope is the median of the slopes between all pairs of minutes, each of which counts with its median
//! (Theil and Sen). The line of least squares, which this was, leans on the ends of a run and on bursts: a burst
//! of long lines in the last minutes of an hour, of which the allocator keeps some megabytes for the next
//! one, was a slope of tens of megabytes an hour. What a leak adds is in every minute after it.
//!
//! Its bound is for anonymous memory. Resident memory has the pages of the program's file besides, which come
//! when they are first run and go when the system wants them; it is printed and bounded by nobody.
//!
//! Descriptors and threads go up and down by hundreds with callers and faults, so that the slope of an hour says little
//! about a few that leak. They are counted at rest, before the first caller and after the last: then each must be a
//! listener's, a server's or another known part's ([`Rest`]).

use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::Instant;

use super::book::{Book, Finding};
use super::scene::Scene;
use crate::support::Gateway;
use crate::support::process::{self, Footprint};

/// Between two samples.
const EVERY: Duration = Duration::from_secs(1);
/// What happens before this is warming up: allocators and caches find their size.
const WARM_UP: Duration = Duration::from_mins(10);
/// Samples of which one median is taken.
const WINDOW: usize = 60;
/// From here on a slope says something.
const LONG: Duration = Duration::from_mins(30);
/// Between two medians that the report lists.
const STRETCH: usize = 300;
/// The most that anonymous memory may grow, in KiB an hour.
const MOST_KIB: f64 = 1024.0;

/// Descriptors of the gateway for each guard: the server's three pipes, the control socket, and the guard itself.
const OF_A_GUARD: usize = 5;
/// A connection that was just closed, and a thread that is about to end.
const ON_THE_WAY: usize = 2;

/// What the gateway holds while nobody calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// Beside those of guards.
    descriptors: usize,
    threads: usize,
}

impl Rest {
    /// What is held now; `None` where the system does not tell.
    pub(super) fn of(gateway: &Gateway) -> Option<Self> {
        let held = gateway.footprint()?;
        let below = process::descendants(gateway.pid()).into_iter();
        let guards = below.filter(|one| one.parent == gateway.pid()).count();
        Some(Self {
            descriptors: held.descriptors.saturating_sub(guards * OF_A_GUARD),
            threads: held.threads,
        })
    }

    /// Nothing was added to what was held `before`.
    pub(super) fn is_as(&self, before: &Self) -> bool {
        self.descriptors <= before.descriptors + ON_THE_WAY
            && self.threads <= before.threads + ON_THE_WAY
    }
}

/// What was held at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    at: Duration,
    held: Footprint,
}

/// Its name, how it is read, and the most that it may grow in an hour.
type Quantity = (&'static str, fn(&Footprint) -> usize, f64);

/// Samples until the callers stop.
pub(super) async fn watch(scene: &Scene) -> Vec<Sample> {
    let began = Instant::now();
    let mut samples = Vec::new();
    while scene.goes_on() {
        if let Some(held) = scene.gateway.footprint() {
            samples.push(Sample {
                at: began.elapsed(),
                held,
            });
        }
        tokio::time::sleep_until((Instant::now() + EVERY).min(scene.ends())).await;
    }
    samples
}

/// Says how each quantity went, and finds fault with what grew in a long run.
pub(super) fn report(samples: &[Sample], lasts: Duration, book: &Book) -> String {
    let warm = if lasts >= LONG { WARM_UP } else { lasts / 4 };
    let course: Vec<f64> = samples.chunks(STRETCH).map(anonymous).collect();
    let samples: Vec<&Sample> = samples.iter().filter(|sample| sample.at >= warm).collect();
    let mut text = format!("anonymous KiB, a median for each {STRETCH} s: {course:?}\n");
    let quantities: [Quantity; 4] = [
        ("resident KiB", |held| held.resident_kib, f64::INFINITY),
        ("anonymous KiB", |held| held.anonymous_kib, MOST_KIB),
        ("descriptors", |held| held.descriptors, f64::INFINITY),
        ("threads", |held| held.threads, f64::INFINITY),
    ];
    for (name, of, most) in quantities {
        let points: Vec<(f64, f64)> = samples
            .iter()
            .map(|sample| (sample.at.as_secs_f64() / 3600.0, as_f64(of(&sample.held))))
            .collect();
        let slope = slope(&points);
        let tenth = points.len() / 10 + 1;
        let first = median(points.iter().take(tenth));
        let last = median(points.iter().rev().take(tenth));
        let _ = writeln!(
            text,
            "{name}: {slope:+.1} an hour after {warm:?}; median of the first tenth {first}, of the last {last}"
        );
        if lasts >= LONG && slope > most {
            book.find(
                Finding::Leftover,
                format!("{name} grew by {slope:.1} an hour"),
            );
        }
    }
    text
}

/// The median of the anonymous memory of samples.
fn anonymous(samples: &[Sample]) -> f64 {
    let points = samples.iter();
    let points = points.map(|sample| (0.0, as_f64(sample.held.anonymous_kib)));
    median(points.collect::<Vec<_>>().iter())
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The median of the slopes between all pairs of windows; 0 where there are fewer than two.
fn slope(points: &[(f64, f64)]) -> f64 {
    // A short run has short windows: as many as will do for a slope.
    let window = WINDOW.min(points.len() / 10).max(1);
    let windows: Vec<(f64, f64)> = points
        .chunks_exact(window)
        .map(|points| (points[window / 2].0, median(points.iter())))
        .collect();
    let later = |at: usize| windows.iter().skip(at + 1);
    let slopes: Vec<(f64, f64)> = windows
        .iter()
        .enumerate()
        .flat_map(|(at, (x, y))| later(at).map(move |(u, v)| (*x, (v - y) / (u - x))))
        .collect();
    median(slopes.iter())
}

fn median<'a>(points: impl Iterator<Item = &'a (f64, f64)>) -> f64 {
    let mut values: Vec<f64> = points.map(|(_, y)| *y).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[test]
fn the_slope_of_a_line_is_found_and_a_level_has_none() {
    let line: Vec<(f64, f64)> = (0..50)
        .map(|x| (f64::from(x), 3.0 * f64::from(x) + 7.0))
        .collect();
    assert!((slope(&line) - 3.0).abs() < 1e-9);
    let level = [(0.0, 5.0), (1.0, 5.0), (2.0, 5.0)];
    assert!(slope(&level).abs() < 1e-9);
    assert!((median(level.iter()) - 5.0).abs() < 1e-9);
    assert!(slope(&[]).abs() < 1e-9);
}

#[test]
fn a_leak_is_found_among_bursts_and_bursts_are_no_leak() {
    // Fifty minutes, a sample each second; two megabytes of noise, and eight more for a while at the end.
    let run = |leak: f64| {
        let mut rng = fastrand::Rng::with_seed(1);
        let samples = (0..3000).map(|second| {
            let hours = f64::from(second) / 3600.0;
            let burst = if second > 2800 { 8192.0 } else { 0.0 };
            (hours, 30_000.0 + leak * hours + burst + 2048.0 * rng.f64())
        });
        slope(&samples.collect::<Vec<_>>())
    };
    assert!(run(0.0).abs() < 0.5 * MOST_KIB, "{}", run(0.0));
    assert!(run(1.5 * MOST_KIB) > MOST_KIB, "{}", run(1.5 * MOST_KIB));
}
