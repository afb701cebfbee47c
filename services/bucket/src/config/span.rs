//! Durations in Prometheus's syntax, as in Thanos's YAML. prometheus/common `model/time.go`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

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

/// Units in milliseconds, longest first; a duration has each at most once, in this order.
const UNITS: [(&str, u64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

fn parse(text: &str) -> Option<Span> {
    if text == "0" {
        return Some(Span::default());
    }
    let (mut rest, mut units, mut total_ms) = (text, UNITS.iter(), 0u64);
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, behind) =
            behind.split_at(behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len()));
        let (_, unit_ms) = units.find(|(name, _)| *name == unit)?;
        total_ms = total_ms.checked_add(number.parse::<u64>().ok()?.checked_mul(*unit_ms)?)?;
        rest = behind;
    }
    (!text.is_empty()).then(|| Span(Duration::from_millis(total_ms)))
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
                parse(text).ok_or_else(|| E::custom("not a duration"))
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
            assert_eq!(parse(text), Some(Span(Duration::from_millis(ms))), "{text}");
        }
        for text in ["", "5", "s", "1.5h", "30s1m", "1s2s", "-1s", "1 s", "9999999999999999y", "1µs"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
