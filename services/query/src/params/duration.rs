//! Durations in requests: seconds as a float, or units as in `1h30m`.

use super::number::parse_float;
use super::quote;

/// A duration in nanoseconds, as Go's `time.Duration`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct GoDuration(pub(crate) i64);

impl GoDuration {
    /// Whole milliseconds, rounded toward zero.
    pub(crate) fn millis(self) -> i64 {
        self.0 / 1_000_000
    }
}

impl From<std::time::Duration> for GoDuration {
    fn from(d: std::time::Duration) -> GoDuration {
        GoDuration(i64::try_from(d.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// Parses a duration; the error is the text of Prometheus's API.
pub(crate) fn parse_duration(s: &str) -> Result<GoDuration, String> {
    if let Some(seconds) = parse_float(s) {
        let nanos = seconds * 1e9;
        if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
            return Err(format!("cannot parse {} to a valid duration. It overflows int64", quote(s)));
        }
        return Ok(GoDuration(super::time::go_int64(nanos)));
    }
    let nanos = tithon_chunks::calendar::parse_duration(s.as_bytes());
    nanos.map(GoDuration).map_err(|_| format!("cannot parse {} to a valid duration", quote(s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, millis) in [
            ("60", 60_000),
            ("1.5", 1500),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1y", 31_536_000_000),
            ("500ms", 500),
            ("-1", -1000),
        ] {
            assert_eq!(parse_duration(text).map(GoDuration::millis), Ok(millis), "{text}");
        }
        for text in ["", "1m1m", "5mm", "1.5m", "-5m", "1e400", "m", "1s1h", "300y"] {
            assert_eq!(
                parse_duration(text),
                Err(format!("cannot parse \"{text}\" to a valid duration")),
                "{text}"
            );
        }
        let big = "99999999999999999999";
        assert_eq!(
            parse_duration(big),
            Err(format!("cannot parse \"{big}\" to a valid duration. It overflows int64"))
        );
    }
}
