//! A time with nanoseconds, printed as Go's JSON encoder does.

use std::fmt;

use prost_types::Timestamp;
use tithon_chunks::calendar::date_of_days;

/// A time to the nanosecond in UTC; the default is Go's zero time, the first second of the year 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds within the second, below 10^9.
    pub nanos: u32,
}

/// The first second of the year 1 and the last of the year 9999, the range that RFC 3339 can express.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

impl Default for Moment {
    fn default() -> Moment {
        Moment { seconds: *SECONDS.start(), nanos: 0 }
    }
}

impl Moment {
    /// A time in milliseconds since 1970, clamped to the years of RFC 3339.
    pub fn from_millis(millis: i64) -> Moment {
        let nanos = millis.rem_euclid(1000) as u32 * 1_000_000;
        Moment { seconds: millis.div_euclid(1000).clamp(*SECONDS.start(), *SECONDS.end()), nanos }
    }

    /// The time of a message, clamped to the years of RFC 3339.
    pub(super) fn from_wire(wire: &Timestamp) -> Moment {
        let nanos = u32::try_from(wire.nanos).unwrap_or(0).min(999_999_999);
        Moment { seconds: wire.seconds.clamp(*SECONDS.start(), *SECONDS.end()), nanos }
    }

    pub(super) fn to_wire(self) -> Timestamp {
        Timestamp { seconds: self.seconds, nanos: i32::try_from(self.nanos).unwrap_or(0) }
    }
}

impl fmt::Display for Moment {
    /// RFC 3339 in UTC; trailing zeros of the fraction are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.seconds.div_euclid(86_400), self.seconds.rem_euclid(86_400));
        let (year, month, day) = date_of_days(days);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_as_in_go() {
        for (seconds, nanos, text) in [
            (1_710_032_523, 0, "2024-03-10T01:02:03Z"),
            (1_710_032_523, 120_000_000, "2024-03-10T01:02:03.12Z"),
            (1_710_032_523, 1, "2024-03-10T01:02:03.000000001Z"),
            (i64::MAX, -1, "9999-12-31T23:59:59Z"),
            (i64::MIN, 0, "0001-01-01T00:00:00Z"),
        ] {
            assert_eq!(Moment::from_wire(&Timestamp { seconds, nanos }).to_string(), text);
        }
        for (millis, text) in [
            (1_710_032_523_123, "2024-03-10T01:02:03.123Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
        ] {
            assert_eq!(Moment::from_millis(millis).to_string(), text);
        }
        assert_eq!(Moment::default().to_string(), "0001-01-01T00:00:00Z");
    }
}
