//! RFC 3339 times.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Parses `2027-01-31T10:00:00Z`, with or without a fraction, `Z` or an offset such as `+01:00`; the
/// letters in any case. A leap second counts as the second after it.
pub(super) fn parse_rfc3339(text: &str) -> Option<SystemTime> {
    let text = text.to_ascii_uppercase();
    let (date, time) = text.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, offset) = split_offset(time)?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let digits = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let days_in_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !digits || !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset;
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        UNIX_EPOCH.checked_sub(distance)
    } else {
        UNIX_EPOCH.checked_add(distance)
    }
}

/// The time without its `Z` or offset, and the offset in seconds.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some((time, 0));
    }
    let (time, offset) = time.split_at_checked(time.rfind(['+', '-'])?)?;
    let [hours, minutes] = numbers(offset.get(1..)?, ':', [2, 2])?;
    let seconds = (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)?;
    Some((
        time,
        if offset.starts_with('-') {
            -seconds
        } else {
            seconds
        },
    ))
}

/// Numbers of fixed lengths between separators.
fn numbers<const N: usize>(text: &str, separator: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut parsed = [0; N];
    let mut parts = text.split(separator);
    for (slot, length) in parsed.iter_mut().zip(lengths) {
        let part = parts.next()?;
        let digits = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        *slot = part.parse().ok().filter(|_| digits)?;
    }
    parts.next().is_none().then_some(parsed)
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // The year is taken to begin in March, so that the leap day is its last.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let leap_days =
        shifted_year.div_euclid(4) - shifted_year.div_euclid(100) + shifted_year.div_euclid(400);
    shifted_year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::wall::rfc3339;

    #[test]
    fn times_are_read_back_as_they_were_written() {
        for (input, meant) in [
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
            ("2000-02-29T23:59:59.25z", "2000-02-29T23:59:59.000Z"),
            ("2027-01-31t10:00:00+01:30", "2027-01-31T08:30:00.000Z"),
            ("2026-12-31T23:00:00-02:00", "2027-01-01T01:00:00.000Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(parse_rfc3339(input).map(rfc3339).as_deref(), Some(meant));
        }
        assert!(parse_rfc3339("1969-12-31T23:59:59Z") < Some(UNIX_EPOCH));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for input in [
            "",
            "2027-01-31",
            "2027-01-31T10:00:00",
            "2027-02-29T00:00:00Z",
            "2027-13-01T00:00:00Z",
            "2027-01-31 10:00:00Z",
            "2027-01-31T24:00:00Z",
            "2027-1-31T10:00:00Z",
            "2027-01-31T10:00Z",
            "2027-01-31T10:00:00.Z",
            "2027-01-31T10:00:00+1:00",
            "2027-01-31T10:00:00+é",
            "+027-01-31T10:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(input), None, "{input}");
        }
    }
}
