//! Durations in configurations.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use tithon_promql::duration_ns;

/// A duration in Prometheus's syntax.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        let nanos = duration_ns(text.as_bytes()).map_err(serde::de::Error::custom)?;
        Ok(Span(Duration::from_nanos(nanos.unsigned_abs())))
    }
}
