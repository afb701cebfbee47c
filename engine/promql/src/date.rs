//! Dates in UTC, by the proleptic Gregorian calendar, for any 64-bit number of seconds.

use tithon_chunks::calendar::{date_of_days, days_in_month, days_of_date};

use crate::math;

/// A point in time as date and time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    /// The year in astronomical numbering: year 0 comes before year 1.
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: i64,
    /// 1 to 31.
    pub(crate) day: i64,
    /// 0 to 23.
    pub(crate) hour: i64,
    /// 0 to 59.
    pub(crate) minute: i64,
    /// 0 to 59.
    pub(crate) second: i64,
    /// 0 is Sunday.
    pub(crate) weekday: i64,
}

impl Date {
    /// From seconds since 1970.
    pub(crate) fn from_seconds(seconds: i64) -> Date {
        let seconds = wrapped(seconds);
        let (days, rest) = (seconds.div_euclid(86_400) as i64, seconds.rem_euclid(86_400) as i64);
        let (year, month, day) = date_of_days(days);
        Date {
            year,
            month,
            day,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: (days + 4).rem_euclid(7),
        }
    }

    /// From seconds as a float; values that do not fit 64 bits become what Go's conversion makes of them.
    pub(crate) fn from_float(seconds: f64) -> Date {
        Date::from_seconds(math::to_i64(seconds))
    }

    /// The number of days in the month, 28 to 31.
    pub(crate) fn days_in_month(&self) -> i64 {
        days_in_month(self.year, self.month)
    }

    /// The number of the day in the year, 1 to 366.
    pub(crate) fn day_of_year(&self) -> i64 {
        days_of_date(self.year, self.month, self.day) - days_of_date(self.year, 1, 1) + 1
    }
}

/// Go counts seconds from its first year on in an unsigned 64-bit integer: earlier times wrap around to the far future.
fn wrapped(seconds: i64) -> i128 {
    const FIRST: i64 = i64::MIN + 8_113_015_808;
    i128::from(seconds) + if seconds < FIRST { 1 << 64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let d = Date::from_seconds(1_709_210_096); // Thursday, 2024-02-29 12:34:56
        assert_eq!((d.year, d.month, d.day, d.hour, d.minute, d.second), (2024, 2, 29, 12, 34, 56));
        assert_eq!((d.weekday, d.day_of_year(), d.days_in_month()), (4, 60, 29));
        let d = Date::from_seconds(-1);
        assert_eq!((d.year, d.month, d.day, d.hour, d.weekday), (1969, 12, 31, 23, 3));
        // The answer of Prometheus 3.14.
        let d = Date::from_float(f64::NEG_INFINITY);
        assert_eq!((d.year, d.hour, d.minute, d.weekday), (292_277_026_596, 15, 30, 0));
    }
}
