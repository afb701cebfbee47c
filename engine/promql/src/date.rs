//! Dates in UTC, by the proleptic Gregorian calendar, for any 64-bit number of seconds.

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
        // Days are counted from 0000-03-01, so that the leap day is the last one of its year.
        let days_since = days + 719_468;
        let (era, day_of_era) = (days_since.div_euclid(146_097), days_since.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        Date {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted + 2) / 5 + 1,
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

    fn is_leap(&self) -> bool {
        self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0)
    }

    /// 28 to 31.
    pub(crate) fn days_in_month(&self) -> i64 {
        match self.month {
            2 if self.is_leap() => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// 1 to 366.
    pub(crate) fn day_of_year(&self) -> i64 {
        const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
        let before = BEFORE[(self.month - 1) as usize];
        before + self.day + i64::from(self.month > 2 && self.is_leap())
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
        // As Prometheus 3.14 answers.
        let d = Date::from_float(f64::NEG_INFINITY);
        assert_eq!((d.year, d.hour, d.minute, d.weekday), (292_277_026_596, 15, 30, 0));
    }
}
