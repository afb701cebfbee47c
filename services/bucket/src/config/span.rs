//! Durations in Prometheus's syntax, as in Thanos's YAML. prometheus/common `model/time.go`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use tithon_chunks::calendar::{DurationError, parse_duration};

/// A duration; for most settings zero means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    pub(crate) const fn secs(secs: u64) -> Span {
        Span(Duration::from_secs(secs))
    }

    /// The duration, unless it is zero.
    pub(crate) fn limit(self) -> Option<Duration> {
        Some(self.0).filter(|span| !span.is_zero())
    }
}

fn parse(text: &str) -> Result<Span, DurationError<'_>> {
    parse_duration(text.as_bytes()).map(|nanos| Span(Duration::from_nanos(nanos.unsigned_abs())))
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 30s or 1m30s")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
                parse(text).map_err(|_| E::custom("not a duration"))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_syntax() {
        for (text, ms) in [("0", 0), ("1m30s", 90_000), ("500ms", 500), ("1d12h", 129_600_000), ("0s", 0)] {
            assert_eq!(parse(text), Ok(Span(Duration::from_millis(ms))), "{text}");
        }
        for text in ["", "5", "s", "1.5h", "30s1m", "1s2s", "-1s", "1 s", "9999999999999999y", "1µs"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
