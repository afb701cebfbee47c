//! What evaluation gives: samples of series, and what is recorded of them. Prometheus `rules/recording.go`.

use std::collections::BTreeSet;

use tithon_index::{Labels, METRIC_NAME, Relabel};

use crate::{Number, RuleConfig, RuleError};

/// A sample of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesSample {
    /// The series.
    pub labels: Labels,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The value.
    pub value: Number,
}

/// The value that says that a series ends.
const STALE: u64 = 0x7ff0_0000_0000_0002;

impl SeriesSample {
    /// The end of a series.
    pub fn stale(labels: Labels, at_ms: i64) -> SeriesSample {
        SeriesSample { labels, at_ms, value: Number::Float(f64::from_bits(STALE)) }
    }
}

/// Whether a value says that a series ends.
pub(crate) fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE
}

/// The samples that a recording rule makes of the result of its expression. Fails when two are of one series, or there are more
/// than `limit` (0 is none).
pub(crate) fn recorded(
    rule: &RuleConfig,
    found: Vec<SeriesSample>,
    limit: u64,
) -> Result<Vec<SeriesSample>, RuleError> {
    let mut own = Labels::from_pairs([(METRIC_NAME, rule.name.as_bytes())]).to_builder();
    for (name, value) in rule.labels.iter() {
        own.set(name, value);
    }
    let relabel = Relabel::new(&own.finish(), &rule.removed_labels);
    let mut samples = Vec::with_capacity(found.len());
    let mut seen = BTreeSet::new();
    for sample in found {
        let labels = relabel.apply(&sample.labels);
        if !seen.insert(labels.clone()) {
            return Err(RuleError::SameSeries);
        }
        samples.push(SeriesSample { labels, ..sample });
    }
    if limit > 0 && samples.len() as u64 > limit {
        return Err(RuleError::SeriesLimit { limit, found: samples.len() });
    }
    Ok(samples)
}
