//! Times in requests: seconds as a float or RFC 3339, represented like Go's `time.Time` with the same overflow.

use tithon_chunks::calendar::parse_rfc3339;

use super::number::parse_float;
use super::quote;
use crate::options::Dialect;

/// Seconds from the year 1 to 1970.
const UNIX_TO_INTERNAL: i64 = 62_135_596_800;

/// Go's `time.Time`: seconds since 1970 and nanoseconds. Seconds wrap on overflow, as in Go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GoTime {
    seconds: i64,
    nanos: i64,
}

impl GoTime {
    /// The earliest time of Prometheus's API; label calls without `start` begin there.
    pub(crate) const MIN: GoTime = GoTime { seconds: i64::MIN / 1000 + 62_135_596_801, nanos: 0 };
    /// The latest time of Prometheus's API.
    pub(crate) const MAX: GoTime = GoTime { seconds: i64::MAX / 1000 - 62_135_596_801, nanos: 999_999_999 };

    /// Go's `time.Unix`: nanoseconds beyond a second are carried over.
    pub(crate) fn new(seconds: i64, nanos: i64) -> GoTime {
        let seconds = seconds.wrapping_add(nanos.div_euclid(1_000_000_000));
        GoTime { seconds, nanos: nanos.rem_euclid(1_000_000_000) }
    }

    /// The time `millis` milliseconds after 1970.
    pub(crate) fn from_millis(millis: i64) -> GoTime {
        GoTime::new(millis.div_euclid(1000), millis.rem_euclid(1000) * 1_000_000)
    }

    /// Now, by the machine's clock.
    pub(crate) fn now() -> GoTime {
        let since = tithon_runtime::since_1970();
        GoTime::new(i64::try_from(since.as_secs()).unwrap_or(i64::MAX), i64::from(since.subsec_nanos()))
    }

    /// Milliseconds as Prometheus's storage computes them (`timestamp.FromTime`); wraps beyond the range.
    pub(crate) fn storage_millis(self) -> i64 {
        self.seconds.wrapping_mul(1000).wrapping_add(self.nanos / 1_000_000)
    }

    /// Milliseconds as Prometheus's PromQL engine computes them, from wrapping nanoseconds.
    pub(crate) fn engine_millis(self) -> i64 {
        self.seconds.wrapping_mul(1_000_000_000).wrapping_add(self.nanos) / 1_000_000
    }

    /// Whether it is before `other`.
    pub(crate) fn before(self, other: GoTime) -> bool {
        let key = |t: GoTime| (t.seconds.wrapping_add(UNIX_TO_INTERNAL), t.nanos);
        key(self) < key(other)
    }

    /// Nanoseconds since `earlier`, saturating like Go's `Time.Sub`.
    pub(crate) fn since(self, earlier: GoTime) -> i64 {
        let internal = |t: GoTime| {
            i128::from(t.seconds.wrapping_add(UNIX_TO_INTERNAL)) * 1_000_000_000 + i128::from(t.nanos)
        };
        let nanos = internal(self) - internal(earlier);
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }
}

/// Go's `int64(f)` on amd64: `i64::MIN` for NaN and values out of range.
pub(crate) fn go_int64(f: f64) -> i64 {
    if f >= i64::MIN as f64 && f < i64::MAX as f64 { f as i64 } else { i64::MIN }
}

/// Parses a time; the error is the text of Prometheus's API. The texts of [`GoTime::MIN`] and [`GoTime::MAX`] are
/// accepted only in Prometheus's dialect.
pub(crate) fn parse_time(s: &str, dialect: Dialect) -> Result<GoTime, String> {
    if let Some(t) = parse_float(s) {
        let whole = t.trunc();
        let fraction = if t.is_finite() { t - whole } else { f64::NAN };
        let nanos = (fraction * 1000.0).round() / 1000.0 * 1e9;
        return Ok(GoTime::new(go_int64(whole), go_int64(nanos)));
    }
    if let Some((seconds, nanos)) = parse_rfc3339(s) {
        return Ok(GoTime::new(seconds, nanos));
    }
    match s {
        "-292273086-05-16T16:47:06Z" if dialect == Dialect::Prometheus => Ok(GoTime::MIN),
        "292277025-08-18T07:12:54.999999999Z" if dialect == Dialect::Prometheus => Ok(GoTime::MAX),
        _ => Err(format!("cannot parse {} to a valid timestamp", quote(s))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(s: &str) -> Option<i64> {
        parse_time(s, Dialect::Prometheus).ok().map(GoTime::storage_millis)
    }

    #[test]
    fn floats_and_dates() {
        assert_eq!(millis("1710040000"), Some(1_710_040_000_000));
        assert_eq!(millis("1710040000.1234"), Some(1_710_040_000_123));
        assert_eq!(millis("-1.5"), Some(-1500));
        assert_eq!(millis("2024-03-10T01:02:03Z"), Some(1_710_032_523_000));
        assert_eq!(millis("2024-03-10T01:02:03.123456789Z"), Some(1_710_032_523_123));
        assert_eq!(millis("2024-03-10T01:02:03+02:00"), Some(1_710_025_323_000));
        assert_eq!(millis("0001-01-01T00:00:00Z"), Some(-62_135_596_800_000));
        for bad in [
            "2024-13-01T00:00:00Z",
            "2024-03-10",
            "2024-03-10T01:02:03",
            "2024-02-30T00:00:00Z",
            "now",
            "é024-03-10T01:02:03Z",
        ] {
            assert_eq!(millis(bad), None, "{bad}");
        }
    }

    #[test]
    fn ends_of_time_have_their_own_texts() {
        assert_eq!(parse_time("-292273086-05-16T16:47:06Z", Dialect::Prometheus), Ok(GoTime::MIN));
        assert!(parse_time("-292273086-05-16T16:47:06Z", Dialect::Thanos).is_err());
        assert_eq!(GoTime::MIN.storage_millis(), -9_223_309_901_257_974_000);
        assert_eq!(GoTime::MAX.storage_millis(), 9_223_309_901_257_974_999);
    }

    #[test]
    fn overflow_wraps_as_in_go() {
        let nan = parse_time("NaN", Dialect::Prometheus).expect("a float");
        assert!(nan.since(GoTime::MIN) > 0 || nan.before(GoTime::MAX));
        assert_eq!(parse_time("1e20", Dialect::Prometheus).map(GoTime::storage_millis), Ok(0));
    }
}
