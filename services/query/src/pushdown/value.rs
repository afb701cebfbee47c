//! The value of a part as a store sends it, checked: rows once each, with samples at the steps of the query, and a summary at the
//! end.

use std::collections::HashSet;

use tithon_chunks::{HistogramError, Samples};
use tithon_index::Labels;
use tithon_promql::{Annotation, MatrixSeries, PartValue, TimeParams};
use tithon_storeapi::PartSummary;

/// Why an answer is no value of a part.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Unfit {
    /// The plan names a store that there is not.
    #[error("the store of the part is unknown")]
    NoStore,
    /// A row was sent again.
    #[error("row {0} was sent twice")]
    Twice(Labels),
    /// A sample lies at no step of the query, or not after the one before, or two samples lie at one step.
    #[error("row {labels}: a sample at {time_ms} ms, which is no step of the query or has a sample already")]
    NoStep {
        /// The row.
        labels: Labels,
        /// The time of the sample, milliseconds.
        time_ms: i64,
    },
    /// A histogram makes no sense.
    #[error("row {labels}: histogram: {error}")]
    Histogram {
        /// The row.
        labels: Labels,
        /// What is wrong with it.
        error: HistogramError,
    },
    /// An annotation is none of PromQL's.
    #[error("annotation {0:?} is neither a warning nor an info of PromQL")]
    Annotation(String),
    /// The summary is missing, is not the last message, or counts other rows than were sent.
    #[error("the answer does not end with a summary of its {rows} rows")]
    Summary {
        /// The number of rows that were sent.
        rows: usize,
    },
}

/// The value of a part so far.
pub(super) struct Value {
    times: TimeParams,
    rows: Vec<MatrixSeries>,
    summary: Option<PartSummary>,
}

impl Value {
    /// A value with samples at these times.
    pub(super) fn new(times: TimeParams) -> Value {
        Value { times, rows: Vec::new(), summary: None }
    }

    /// Adds a row.
    pub(super) fn add(&mut self, row: MatrixSeries) -> Result<(), Unfit> {
        if self.summary.is_some() {
            return Err(Unfit::Summary { rows: self.rows.len() });
        }
        self.check(&row)?;
        self.rows.push(row);
        Ok(())
    }

    fn check(&self, MatrixSeries { labels, samples }: &MatrixSeries) -> Result<(), Unfit> {
        let Samples { floats, histograms, .. } = samples;
        if let Some(error) = histograms.values.iter().find_map(|h| h.validate_shape().err()) {
            return Err(Unfit::Histogram { labels: labels.clone(), error });
        }
        for times in [&floats.timestamps, &histograms.timestamps] {
            let mut before = None;
            for &time_ms in times {
                if !self.is_step(time_ms) || before.is_some_and(|before| time_ms <= before) {
                    return Err(Unfit::NoStep { labels: labels.clone(), time_ms });
                }
                before = Some(time_ms);
            }
        }
        let has_float = |t: &&i64| floats.timestamps.binary_search(t).is_ok();
        match histograms.timestamps.iter().find(has_float) {
            Some(&time_ms) => Err(Unfit::NoStep { labels: labels.clone(), time_ms }),
            None => Ok(()),
        }
    }

    fn is_step(&self, time_ms: i64) -> bool {
        let TimeParams { start, end, step_ms } = self.times;
        let distance = i128::from(time_ms) - i128::from(start.0);
        (start.0..=end.0).contains(&time_ms) && distance % i128::from(step_ms.max(1)) == 0
    }

    /// Takes the summary.
    pub(super) fn end(&mut self, summary: PartSummary) -> Result<(), Unfit> {
        let rows = self.rows.len();
        if self.summary.is_some() || summary.rows != rows as u64 {
            return Err(Unfit::Summary { rows });
        }
        if let Some(one) = summary.annotations.iter().find(|one| !is_of_promql(one)) {
            return Err(Unfit::Annotation(one.text.chars().take(100).collect()));
        }
        self.summary = Some(summary);
        Ok(())
    }

    /// The value. Fails if it is not whole, and if a row was sent twice.
    pub(super) fn finish(self) -> Result<PartValue, Unfit> {
        let Some(PartSummary { annotations, stats, .. }) = self.summary else {
            return Err(Unfit::Summary { rows: self.rows.len() });
        };
        let mut known = HashSet::with_capacity(self.rows.len());
        if let Some(row) = self.rows.iter().find(|row| !known.insert(&row.labels)) {
            return Err(Unfit::Twice(row.labels.clone()));
        }
        Ok(PartValue { series: self.rows, annotations, stats })
    }
}

fn is_of_promql(annotation: &Annotation) -> bool {
    /// Longer than any that has the name of one metric.
    const BYTES_MAX: usize = 64 << 10;
    let text = &annotation.text;
    text.len() <= BYTES_MAX && (text.starts_with("PromQL warning: ") || text.starts_with("PromQL info: "))
}

/// Memory of a row, bytes.
pub(super) fn bytes_of(row: &MatrixSeries) -> u64 {
    let histograms: usize = row.samples.histograms.values.iter().map(|h| 8 + h.size_bytes()).sum();
    (size_of::<MatrixSeries>() + row.labels.bytes() + 16 * row.samples.floats.len() + histograms) as u64
}

/// Memory of a summary, bytes.
pub(super) fn bytes_of_summary(summary: &PartSummary) -> u64 {
    let texts: usize = summary.annotations.iter().map(|one| size_of::<Annotation>() + one.text.len()).sum();
    (size_of::<PartSummary>() + texts) as u64
}

#[cfg(test)]
mod tests {
    use tithon_chunks::{FloatHistogram, Timestamp};
    use tithon_promql::{Detail, PosRange, QueryStats};

    use super::*;

    fn row(job: &str, floats: &[i64], histograms: &[i64]) -> MatrixSeries {
        let mut samples = Samples::default();
        floats.iter().for_each(|t| samples.floats.push(Timestamp(*t), 1.0));
        samples.histograms.timestamps = histograms.to_vec();
        samples.histograms.values = vec![FloatHistogram::default(); histograms.len()];
        MatrixSeries { labels: Labels::from_pairs([("job", job)]), samples }
    }

    fn summary(rows: u64, annotations: &[&str]) -> PartSummary {
        let pos = PosRange::default();
        let one = |text: &&str| Annotation { text: (*text).to_owned(), pos, detail: Detail::None };
        let annotations = annotations.iter().map(one).collect();
        PartSummary { rows, annotations, stats: QueryStats::default() }
    }

    /// The jobs of the rows of an answer, or why it is refused.
    fn check(rows: Vec<MatrixSeries>, end: Option<PartSummary>) -> Result<Vec<String>, Unfit> {
        let times = TimeParams { start: Timestamp(1_500), end: Timestamp(3_600), step_ms: 500 };
        let mut value = Value::new(times);
        rows.into_iter().try_for_each(|row| value.add(row))?;
        if let Some(end) = end {
            value.end(end)?;
        }
        let job = |row: &MatrixSeries| {
            String::from_utf8_lossy(row.labels.get(b"job").unwrap_or_default()).into_owned()
        };
        Ok(value.finish()?.series.iter().map(job).collect())
    }

    #[test]
    fn rows_keep_their_order() {
        let rows = vec![row("b", &[1_500, 3_500], &[2_000]), row("a", &[], &[]), row("c", &[2_500], &[])];
        let end = summary(3, &["PromQL info: x"]);
        assert_eq!(check(rows, Some(end)), Ok(vec!["b".to_owned(), "a".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn samples_lie_at_steps_once() {
        let times: [(&[i64], &[i64], i64); 7] = [
            (&[1_501], &[], 1_501),
            (&[1_000], &[], 1_000),
            (&[4_000], &[], 4_000),
            (&[i64::MIN], &[], i64::MIN),
            (&[2_000, 2_000], &[], 2_000),
            (&[], &[2_000, 1_500], 1_500),
            (&[1_500, 2_000], &[2_000], 2_000),
        ];
        for (floats, histograms, time_ms) in times {
            let labels = Labels::from_pairs([("job", "a")]);
            let found = check(vec![row("a", floats, histograms)], Some(summary(1, &[])));
            assert_eq!(found, Err(Unfit::NoStep { labels, time_ms }), "{floats:?} {histograms:?}");
        }
    }

    #[test]
    fn an_answer_is_whole() {
        let rows = || vec![row("a", &[1_500], &[])];
        assert_eq!(check(rows(), None), Err(Unfit::Summary { rows: 1 }));
        assert_eq!(check(rows(), Some(summary(2, &[]))), Err(Unfit::Summary { rows: 1 }));
        let twice = vec![row("a", &[1_500], &[]), row("a", &[2_000], &[])];
        let labels = Labels::from_pairs([("job", "a")]);
        assert_eq!(check(twice, Some(summary(2, &[]))), Err(Unfit::Twice(labels)));
        let note = check(rows(), Some(summary(1, &["anything"])));
        assert_eq!(note, Err(Unfit::Annotation("anything".to_owned())));
        let mut value = Value::new(TimeParams::instant(Timestamp(5)));
        assert_eq!(value.end(summary(0, &[])), Ok(()));
        assert_eq!(value.add(row("a", &[5], &[])), Err(Unfit::Summary { rows: 0 }));
    }
}
