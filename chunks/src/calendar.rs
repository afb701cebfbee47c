//! The calendar: dates, days since 1970, durations, and times as RFC 3339 texts.
//!
//! Dates are of the proleptic Gregorian calendar in UTC; year 0 comes before year 1. The conversions follow H. Hinnant,
//! "chrono-compatible low-level date algorithms": days are counted from a 1 March, so that the leap day ends its year.

/// Days from 1970-01-01 to a date.
pub const fn days_of_date(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month (from 1) and day (from 1) of the date that is `days` after 1970-01-01.
pub const fn date_of_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// Number of days of a month (1 to 12).
pub const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Units of durations from large to small, with their lengths in nanoseconds.
const UNITS: [(&[u8], u64); 7] = [
    (b"y", 365 * 86_400_000_000_000),
    (b"w", 7 * 86_400_000_000_000),
    (b"d", 86_400_000_000_000),
    (b"h", 3_600_000_000_000),
    (b"m", 60_000_000_000),
    (b"s", 1_000_000_000),
    (b"ms", 1_000_000),
];

/// Why a text is no duration in Prometheus's syntax.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError<'a> {
    /// There is no text.
    #[error("empty duration")]
    Empty,
    /// A number or a unit is missing, or the units do not stand from large to small.
    #[error("not a duration such as 1h30m")]
    Syntax,
    /// There is no such unit.
    #[error("unknown unit {:?}", String::from_utf8_lossy(.0))]
    Unit(&'a [u8]),
    /// It does not fit 63 bits of nanoseconds, some 292 years.
    #[error("duration out of range")]
    Range,
}

/// Reads a duration in nanoseconds: `1y2w3d4h5m6s7ms`, each unit at most once and in this order, or `0`.
/// prometheus/common `model.ParseDuration`.
pub fn parse_duration(text: &[u8]) -> Result<i64, DurationError<'_>> {
    if text == b"0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err(DurationError::Empty);
    }
    let (mut rest, mut sum, mut next_unit) = (text, 0i64, 0);
    while !rest.is_empty() {
        let (digits, tail) = rest.split_at(rest.iter().take_while(|c| c.is_ascii_digit()).count());
        let (unit, tail) = tail.split_at(tail.iter().take_while(|c| !c.is_ascii_digit()).count());
        rest = tail;
        let value = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
        let value = value.filter(|_| !unit.is_empty()).ok_or(DurationError::Syntax)?;
        let i = UNITS.iter().position(|(name, _)| *name == unit).ok_or(DurationError::Unit(unit))?;
        if i < next_unit {
            return Err(DurationError::Syntax);
        }
        next_unit = i + 1;
        let length = value.checked_mul(UNITS[i].1).and_then(|length| i64::try_from(length).ok());
        sum = length.and_then(|length| sum.checked_add(length)).ok_or(DurationError::Range)?;
    }
    Ok(sum)
}

/// A duration of so many nanoseconds as Go prints it: `-1h2m3.5s`, `1.5ms`, `17µs`, `9ns`, `0s`. Go `time.Duration.String`.
pub fn go_duration(nanoseconds: i64) -> String {
    let fraction = |whole: u64, unit: u64| {
        let digits = format!("{:0width$}", whole % unit, width = unit.ilog10() as usize);
        let digits = digits.trim_end_matches('0');
        let dot = if digits.is_empty() { "" } else { "." };
        format!("{}{dot}{digits}", whole / unit)
    };
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let absolute = match nanoseconds.unsigned_abs() {
        0 => "0s".to_owned(),
        nanos @ 1..1_000 => format!("{nanos}ns"),
        nanos @ 1_000..1_000_000 => format!("{}µs", fraction(nanos, 1_000)),
        nanos @ 1_000_000..1_000_000_000 => format!("{}ms", fraction(nanos, 1_000_000)),
        nanos => {
            let (hours, minutes) = (nanos / 3_600_000_000_000, nanos / 60_000_000_000 % 60);
            let seconds = fraction(nanos % 60_000_000_000, 1_000_000_000);
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, _) => format!("{minutes}m{seconds}s"),
                _ => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{absolute}")
}

/// Reads `2006-01-02T15:04:05[.fraction](Z|+01:00)` as seconds since 1970 and nanoseconds; digits behind the ninth are
/// dropped. Accepts what Go's `time.Parse(time.RFC3339Nano, text)` accepts.
pub fn parse_rfc3339(text: &str) -> Option<(i64, i64)> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = bytes.get(from..to)?;
        let value = digits.iter().fold(0, |n, digit| n * 10 + i64::from(digit.wrapping_sub(b'0')));
        digits.iter().all(u8::is_ascii_digit).then_some(value)
    };
    for (at, separator) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
        if bytes.get(at) != Some(&separator) {
            return None;
        }
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month)
        || !(1..=days_in_month(year, month)).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let (mut at, mut nanos) = (19, 0);
    if matches!(bytes.get(at), Some(b'.' | b',')) {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let mut unit = 100_000_000;
        for digit in &bytes[at + 1..at + 1 + digits] {
            nanos += i64::from(digit - b'0') * unit;
            unit /= 10;
        }
        at += 1 + digits;
    }
    let offset = match bytes.get(at)? {
        b'Z' if bytes.len() == at + 1 => 0,
        sign @ (b'+' | b'-') if bytes.len() == at + 6 && bytes[at + 3] == b':' => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 24 || minutes > 60 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let seconds = days_of_date(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some((seconds, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_there_and_back() {
        assert_eq!(days_of_date(1970, 1, 1), 0);
        assert_eq!(days_of_date(2000, 2, 29), 11_016);
        assert_eq!(date_of_days(-1), (1969, 12, 31));
        let mut days = days_of_date(-401, 3, 1);
        for year in -401..2_500 {
            for month in 1..=12 {
                if (year, month) < (-401, 3) {
                    continue;
                }
                for day in [1, days_in_month(year, month)] {
                    assert_eq!(days_of_date(year, month, day), days + day - 1, "{year}-{month}-{day}");
                    assert_eq!(date_of_days(days + day - 1), (year, month, day));
                }
                days += days_in_month(year, month);
            }
        }
    }

    #[test]
    fn durations_as_prometheus_reads_them() {
        for (text, ms) in [
            ("0", 0),
            ("0s", 0),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1d12h", 129_600_000),
            ("1y2w3d4h5m6s7ms", 33_019_506_007),
            ("106751d", 106_751 * 86_400_000),
        ] {
            assert_eq!(parse_duration(text.as_bytes()), Ok(ms * 1_000_000), "{text}");
        }
        for (text, error) in [
            ("", DurationError::Empty),
            ("5", DurationError::Syntax),
            ("s", DurationError::Syntax),
            ("-1s", DurationError::Syntax),
            ("30s1m", DurationError::Syntax),
            ("1s2s", DurationError::Syntax),
            ("99999999999999999999s", DurationError::Syntax),
            ("1.5h", DurationError::Unit(b".")),
            ("1 s", DurationError::Unit(b" s")),
            ("1µs", DurationError::Unit("µs".as_bytes())),
            ("106752d", DurationError::Range),
            ("292y52w", DurationError::Range),
            ("9999999999999999y", DurationError::Range),
        ] {
            assert_eq!(parse_duration(text.as_bytes()), Err(error), "{text}");
        }
    }

    #[test]
    fn durations_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (999, "999ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (1_000_000_000, "1s"),
            (3_300_000_001, "3.300000001s"),
            (61_500_000_000, "1m1.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (2_592_000_000_000_000, "720h0m0s"),
            (-28_680_001_000_000, "-7h58m0.001s"),
            (i64::MIN, "-2562047h47m16.854775808s"),
        ] {
            assert_eq!(go_duration(nanos), text);
        }
    }

    #[test]
    fn times_as_go_reads_them() {
        for (text, seconds, nanos) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2024-05-01T00:00:00.5Z", 1_714_521_600, 500_000_000),
            ("2024-02-29T23:59:59,1234567891Z", 1_709_251_199, 123_456_789),
            ("2024-03-01T01:30:00+02:00", 1_709_249_400, 0),
            ("0000-01-01T00:00:00Z", -62_167_219_200, 0),
            ("9999-12-31T23:59:59Z", 253_402_300_799, 0),
        ] {
            assert_eq!(parse_rfc3339(text), Some((seconds, nanos)), "{text}");
        }
        for text in [
            "",
            "2024-05-01",
            "2024-05-01 00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-02-30T00:00:00Z",
            "2024-05-01T00:00:60Z",
            "2024-05-01T00:00:00.Z",
            "2024-05-01T00:00:00+2:00",
            "2024-05-01T00:00:00Zx",
            "é024-03-10T01:02:03Z",
        ] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }
}
