//! What depends on more than one key of a server: its restarts and the deadlines of its requests.

use super::file::{self, File};
use super::limits::{Limits, pick};
use super::reader::{Field, Members, Scope};
use super::servers::Server;
use super::values::Millis;
use crate::supervisor::{BackoffConfig, RequestConfig, RestartLimit};

/// The delays of a server's restarts and when it is given up; `None` after a fault.
pub(super) fn restarts(
    server: &Server,
    file: &File,
    scope: &mut Scope<'_>,
) -> Option<(BackoffConfig, RestartLimit)> {
    let first = server.restart_backoff_ms.or(&file.restart_backoff_ms);
    let max = server
        .restart_backoff_max_ms
        .or(&file.restart_backoff_max_ms);
    let (first_ms, max_ms) = (first.get()?.0, raised(max, first, scope)?);
    let limit = server.restart_limit.or(&file.restart_limit);
    let defaults = file::RestartLimit::take(&Members::none(&limit.place), scope);
    let limit = limit.get().unwrap_or(&defaults);
    let count = *limit.count.get()?;
    let mut window_ms = limit.window_ms.get()?.0;
    let slowest = slowest_ms(first_ms, max_ms, count.0);
    if slowest >= u128::from(window_ms) && limit.window_ms.is_given() {
        let text = format!(
            "{window_ms} can never be reached: restart_limit.count {} means delays of up to {slowest} ms together \
             (restart_backoff_ms {first_ms}, restart_backoff_max_ms {max_ms}), expected a longer window_ms or a smaller count",
            count.0
        );
        return scope.fault(&limit.window_ms.place, text);
    } else if slowest >= u128::from(window_ms) {
        // A default must not make a limit that is never reached; it leaves as much time for running.
        window_ms = u64::try_from(slowest.saturating_mul(2)).unwrap_or(u64::MAX);
    }
    let backoff = BackoffConfig {
        first: Millis(first_ms).duration(),
        max: Millis(max_ms).duration(),
    };
    let limit = RestartLimit {
        count: count.small(),
        window: Millis(window_ms).duration(),
    };
    Some((backoff, limit))
}

/// The longest that the delays between the first restart and the one over `count` can be together:
/// `min(first * 2^i, max) * 1.2` for each `i` from 1 to `count`, in milliseconds.
fn slowest_ms(first_ms: u64, max_ms: u64, count: u64) -> u128 {
    let (max, count) = (u128::from(max_ms), u128::from(count));
    let mut delay = u128::from(first_ms);
    let mut sum = 0;
    let mut counted = 0;
    while counted < count && delay < max {
        delay = (delay * 2).min(max);
        sum += delay;
        counted += 1;
    }
    sum += (count - counted) * max;
    sum * 12 / 10
}

/// The deadlines and bounds of a server's requests; `None` after a fault.
pub(super) fn requests(
    server: &Server,
    file: &File,
    limits: &Limits,
    scope: &mut Scope<'_>,
) -> Option<RequestConfig> {
    let own = server.limits.get();
    let timeout = server.request_timeout_ms.or(&file.request_timeout_ms);
    let max = server.request_max_ms.or(&file.request_max_ms);
    Some(RequestConfig {
        timeout: timeout.get()?.duration(),
        max: Millis(raised(max, timeout, scope)?).duration(),
        hold: pick(own.map(|own| &own.hold_ms), &limits.hold_ms)?.duration(),
        max_in_flight: pick(own.map(|own| &own.max_in_flight), &limits.max_in_flight)?.size(),
        max_queue: pick(own.map(|own| &own.max_queue), &limits.max_queue)?.size(),
        max_queue_bytes: pick(own.map(|own| &own.max_queue_bytes), &limits.max_queue_bytes)?.size(),
        input_wait: pick(own.map(|own| &own.input_wait_ms), &limits.input_wait_ms)?.duration(),
        // Set where the tokens are known.
        divided: false,
    })
}

/// An upper bound, in milliseconds. One that is given may not be below the lower one; a default gives way.
fn raised(upper: &Field<Millis>, lower: &Field<Millis>, scope: &mut Scope<'_>) -> Option<u64> {
    let (upper_ms, lower_ms) = (upper.get()?.0, lower.get()?.0);
    if upper_ms >= lower_ms {
        Some(upper_ms)
    } else if upper.is_given() {
        let text = format!("{upper_ms} is below {} {lower_ms}", lower.place.path);
        scope.fault(&upper.place, text)
    } else {
        Some(lower_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_restarts_double_up_to_the_longest_delay() {
        // 4 + 8 + 16 + 32 + 6 * 60 s, and a fifth more.
        assert_eq!(slowest_ms(2_000, 60_000, 10), 504_000);
        assert_eq!(slowest_ms(60_000, 60_000, 2), 144_000);
        assert_eq!(slowest_ms(1, 1, u64::from(u32::MAX)), 5_153_960_754);
    }
}
