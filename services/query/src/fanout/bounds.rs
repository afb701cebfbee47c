//! What a querier reads of its stores: its own external labels, its selector rules, and the limits of one selection.
//! Thanos `pkg/store/{proxy,tsdb_selector,limiter}.go`.

use std::collections::{BTreeMap, BTreeSet};

use prometheus_client::metrics::counter::Counter;
use tithon_engine::relabel::{RelabelStep, keeps};
use tithon_engine::{SelectedSeries, left_to_series};
use tithon_index::{Labels, MatchOp, Matcher, escaped_pattern};

use crate::metrics::QueryMetrics;
use crate::options::QueryOptions;

/// The bounds that hold for all requests.
pub(crate) struct Bounds {
    /// `--selector-label`: external labels of the querier itself.
    own: Labels,
    /// `--selector.relabel-config`: rules that keep or drop stores by their label sets.
    rules: Vec<RelabelStep>,
    limits: Limits,
}

/// The limits of one selection; 0 means no limit.
#[derive(Clone)]
struct Limits {
    series: u64,
    samples: u64,
    /// Numbers of selections that exceeded each limit.
    series_dropped: Counter,
    chunks_dropped: Counter,
}

/// Samples that each chunk is counted as, as in Thanos.
const CHUNK_SAMPLES: u64 = 120;

impl Bounds {
    pub(crate) fn new(options: &QueryOptions, metrics: &QueryMetrics) -> Bounds {
        Bounds {
            own: Labels::from_pairs(options.selector_labels.iter().map(|(n, v)| (n, v))),
            rules: options.selector_rules.clone(),
            limits: Limits {
                series: options.request_series_max,
                samples: options.request_samples_max,
                series_dropped: metrics.selects_dropped("series"),
                chunks_dropped: metrics.selects_dropped("chunks"),
            },
        }
    }

    /// The matchers without those on the querier's own labels; `None` when one of them contradicts these labels.
    pub(super) fn without_own(&self, matchers: &[Matcher]) -> Option<Vec<Matcher>> {
        left_to_series(matchers, &self.own)
    }

    /// The label sets of a store that the rules keep; `None` when they keep none. A store without label sets is kept.
    pub(super) fn kept<'a>(&self, label_sets: &'a [Labels]) -> Option<Vec<&'a Labels>> {
        let kept: Vec<&Labels> = label_sets.iter().filter(|set| keeps(set, &self.rules)).collect();
        (label_sets.is_empty() || !kept.is_empty()).then_some(kept)
    }

    /// Whether there are selector rules, which may leave out stores or parts of them.
    pub(super) fn chooses_stores(&self) -> bool {
        !self.rules.is_empty()
    }

    /// Whether selector rules leave out stores, or matchers are on labels that no store knows.
    pub(super) fn narrows(&self) -> bool {
        self.chooses_stores() || !self.own.is_empty()
    }

    /// Whether the series or samples of selections are limited.
    pub(super) fn limits(&self) -> bool {
        self.limits.series > 0 || self.limits.samples > 0
    }

    pub(super) fn counting(&self) -> Counting {
        Counting { limits: self.limits.clone(), series: 0, samples: 0 }
    }
}

/// Matchers that select the series with these label sets: each label has one of its values in the sets, or is missing
/// if a set lacks it. They may also select a few other series, which combine values of different sets.
pub(super) fn matchers_of(label_sets: &[&Labels]) -> Vec<Matcher> {
    let mut values: BTreeMap<&[u8], BTreeSet<String>> = BTreeMap::new();
    for (name, value) in label_sets.iter().flat_map(|set| set.iter()) {
        values.entry(name).or_default().insert(escaped_pattern(value));
    }
    let matcher = |(name, values): (&[u8], BTreeSet<String>)| {
        let is_missing = label_sets.iter().any(|set| set.get(name).is_none());
        let empty = is_missing.then(String::new);
        let pattern: Vec<String> = values.into_iter().chain(empty).collect();
        // The escaped values make a valid pattern, unless there are so many that it is too long.
        Matcher::new(MatchOp::Regex, name, pattern.join("|")).ok()
    };
    values.into_iter().filter_map(matcher).collect()
}

/// A selection exceeded a limit; the text is Thanos's.
#[derive(Debug, thiserror::Error)]
#[error("failed to send {what}: limit {limit} violated (got {got})")]
pub(crate) struct LimitViolated {
    what: &'static str,
    limit: u64,
    got: u64,
}

/// The number of series and samples that a selection has read.
pub(crate) struct Counting {
    limits: Limits,
    series: u64,
    samples: u64,
}

impl Counting {
    /// Counts a series. Fails when the selection exceeds a limit.
    pub(super) fn count(&mut self, series: &SelectedSeries) -> Result<(), LimitViolated> {
        self.series += 1;
        self.samples += CHUNK_SAMPLES.saturating_mul(series.chunks.len() as u64);
        let Limits { series, samples, series_dropped, chunks_dropped } = &self.limits;
        for (what, limit, got, dropped) in [
            ("series", *series, self.series, series_dropped),
            ("samples", *samples, self.samples, chunks_dropped),
        ] {
            if limit > 0 && got > limit {
                dropped.inc();
                return Err(LimitViolated { what, limit, got });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matchers_of_the_stores_that_are_kept() {
        let a = Labels::from_pairs([("cluster", "a.b"), ("replica", "1")]);
        let b = Labels::from_pairs([("cluster", "b")]);
        let texts = |sets: &[&Labels]| matchers_of(sets).iter().map(Matcher::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&[]), Vec::<String>::new());
        let both = matchers_of(&[&a, &b]);
        let matches = |i: usize, value: &str| both[i].matches(value.as_bytes());
        assert!(matches(0, "a.b") && matches(0, "b") && !matches(0, "axb") && !matches(0, ""));
        assert!(matches(1, "1") && matches(1, "") && !matches(1, "2"));
    }
}
