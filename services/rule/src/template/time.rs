//! Points in time as Go prints them, in UTC. Go `time.Time`.

use std::fmt::Write;

use tithon_chunks::calendar::{date_of_days, days_of_date};

/// A point in time: milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(pub(super) i64);

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl Moment {
    pub(super) fn date(self) -> (i64, i64, i64) {
        date_of_days(self.0.div_euclid(86_400_000))
    }

    /// Hour, minute, second, nanosecond.
    pub(super) fn clock(self) -> (i64, i64, i64, i64) {
        let millis = self.0.rem_euclid(86_400_000);
        let seconds = millis / 1000;
        (seconds / 3600, seconds / 60 % 60, seconds % 60, millis % 1000 * 1_000_000)
    }

    /// From 1.
    pub(super) fn day_of_year(self) -> i64 {
        let (year, ..) = self.date();
        self.0.div_euclid(86_400_000) - days_of_date(year, 1, 1) + 1
    }

    /// 0 is Sunday.
    pub(super) fn weekday(self) -> (i64, &'static str) {
        let day = (self.0.div_euclid(86_400_000) + 4).rem_euclid(7);
        (day, DAYS[day as usize])
    }

    pub(super) fn month(self) -> (i64, &'static str) {
        let (_, month, _) = self.date();
        (month, MONTHS[month as usize - 1])
    }

    /// The time in a layout of Go's, which shows how 2006-01-02 15:04:05 would look.
    pub(super) fn format(self, layout: &str) -> String {
        let (mut out, mut rest) = (String::new(), layout);
        while !rest.is_empty() {
            let (text, part, behind) = next_part(rest);
            out.push_str(text);
            if let Some(part) = part {
                self.write(&mut out, part);
            }
            rest = behind;
        }
        out
    }

    fn write(self, out: &mut String, part: &str) {
        let (year, month, day) = self.date();
        let (hour, minute, second, nanos) = self.clock();
        let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
        // Writing to a string cannot fail.
        let _ = match part {
            "2006" => write!(out, "{year:04}"),
            "06" => write!(out, "{:02}", year % 100),
            "January" => write!(out, "{}", self.month().1),
            "Jan" => write!(out, "{}", &self.month().1[..3]),
            "01" => write!(out, "{month:02}"),
            "1" => write!(out, "{month}"),
            "Monday" => write!(out, "{}", self.weekday().1),
            "Mon" => write!(out, "{}", &self.weekday().1[..3]),
            "02" => write!(out, "{day:02}"),
            "_2" => write!(out, "{day:2}"),
            "2" => write!(out, "{day}"),
            "002" => write!(out, "{:03}", self.day_of_year()),
            "__2" => write!(out, "{:3}", self.day_of_year()),
            "15" => write!(out, "{hour:02}"),
            "03" => write!(out, "{twelve:02}"),
            "3" => write!(out, "{twelve}"),
            "04" => write!(out, "{minute:02}"),
            "4" => write!(out, "{minute}"),
            "05" => write!(out, "{second:02}"),
            "5" => write!(out, "{second}"),
            "PM" => write!(out, "{}", if hour >= 12 { "PM" } else { "AM" }),
            "pm" => write!(out, "{}", if hour >= 12 { "pm" } else { "am" }),
            "MST" => write!(out, "UTC"),
            "Z0700" | "Z07:00" | "Z07" | "Z070000" | "Z07:00:00" => write!(out, "Z"),
            "-0700" => write!(out, "+0000"),
            "-07:00" => write!(out, "+00:00"),
            "-07" => write!(out, "+00"),
            "-070000" => write!(out, "+000000"),
            "-07:00:00" => write!(out, "+00:00:00"),
            fraction => write_fraction(out, fraction, nanos),
        };
    }
}

/// `.000` keeps its zeros, `.999` drops them.
fn write_fraction(out: &mut String, part: &str, nanos: i64) -> std::fmt::Result {
    let digits = format!("{nanos:09}");
    let count = part.len() - 1;
    let mut shown: String = digits.chars().chain(std::iter::repeat('0')).take(count).collect();
    if part.ends_with('9') {
        shown.truncate(shown.trim_end_matches('0').len());
        if shown.is_empty() {
            return Ok(());
        }
    }
    write!(out, "{}{shown}", &part[..1])
}

/// The longest come first where one begins like another.
const PARTS: [&str; 33] = [
    "January",
    "Jan",
    "Monday",
    "Mon",
    "MST",
    "2006",
    "002",
    "01",
    "02",
    "03",
    "04",
    "05",
    "06",
    "__2",
    "_2",
    "15",
    "1",
    "2",
    "3",
    "4",
    "5",
    "PM",
    "pm",
    "-070000",
    "-07:00:00",
    "-0700",
    "-07:00",
    "-07",
    "Z070000",
    "Z07:00:00",
    "Z0700",
    "Z07:00",
    "Z07",
];

/// The text before the next part of a layout, the part, and what follows.
fn next_part(layout: &str) -> (&str, Option<&str>, &str) {
    for (at, c) in layout.char_indices() {
        let rest = &layout[at..];
        if let Some(year) = rest.strip_prefix("_2006") {
            // The underscore is text here.
            let behind = year;
            return (&layout[..=at], Some(&rest[1..5]), behind);
        }
        if matches!(c, '.' | ',') {
            let digit = rest[1..].chars().next().filter(|c| matches!(c, '0' | '9'));
            let count = digit.map_or(0, |digit| rest[1..].chars().take_while(|c| *c == digit).count());
            let is_end = !rest[1 + count..].starts_with(|c: char| c.is_ascii_digit());
            if count > 0 && is_end {
                return (&layout[..at], Some(&rest[..=count]), &rest[1 + count..]);
            }
            continue;
        }
        let found = PARTS.iter().find(|part| rest.starts_with(**part));
        match found {
            // A longer word that begins so is text.
            Some(&"Jan") if rest[3..].starts_with(|c: char| c.is_ascii_lowercase()) => {}
            Some(&"Mon") if rest[3..].starts_with(|c: char| c.is_ascii_lowercase()) => {}
            Some(part) => return (&layout[..at], Some(&rest[..part.len()]), &rest[part.len()..]),
            None => {}
        }
    }
    (layout, None, "")
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.format("2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts() {
        let moment = Moment(1_714_564_800_500);
        for (layout, text) in [
            ("2006-01-02T15:04:05Z07:00", "2024-05-01T12:00:00Z"),
            ("Mon Jan _2 15:04:05.000 MST 2006", "Wed May  1 12:00:00.500 UTC 2024"),
            ("Monday, 02-Jan-06 3:04PM", "Wednesday, 01-May-24 12:00PM"),
            ("Month 002 .99 ,000", "Month 122 .5 ,500"),
        ] {
            assert_eq!(moment.format(layout), text, "{layout}");
        }
        assert_eq!(moment.to_string(), "2024-05-01 12:00:00.5 +0000 UTC");
        assert_eq!(Moment(-1).to_string(), "1969-12-31 23:59:59.999 +0000 UTC");
    }
}
