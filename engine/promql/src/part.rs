//! The value of a part of a query as one process hands it to another, which evaluates the rest: rows as the evaluator has them.

use std::sync::Arc;

use tithon_chunks::{FloatHistogram, HistogramError};
use tithon_index::Labels;

use crate::annotations::Annotation;
use crate::frame::{Column, Row};
use crate::result::QueryStats;

/// The value of a node of a plan at all steps of the query.
#[derive(Clone, Debug)]
pub struct PartValue {
    /// Its rows in the order of evaluation, also those without samples; a scalar is one row without labels.
    pub rows: Vec<PartRow>,
    /// The annotations of its evaluation, with their places in the whole query.
    pub annotations: Vec<Annotation>,
    /// The counts of its samples.
    pub stats: QueryStats,
}

/// The samples of one series at the steps of the query.
#[derive(Clone, Debug)]
pub struct PartRow {
    labels: Labels,
    column: Column,
}

/// Why samples make no row.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RowError {
    /// There must be a float for each step, or none at all.
    #[error("{floats} floats for {steps} steps")]
    Floats {
        /// The number of floats.
        floats: usize,
        /// The number of steps.
        steps: usize,
    },
    /// The bitmap has another number of words than the steps take, or bits behind the last step.
    #[error("a bitmap of {words} words that does not fit {steps} steps")]
    Presence {
        /// The number of words.
        words: usize,
        /// The number of steps.
        steps: usize,
    },
    /// A histogram belongs to no step, does not come after the one before, or stands where a float is.
    #[error("a histogram at step {step}, which is none or has a sample already")]
    Step {
        /// The step of the histogram.
        step: u32,
    },
    /// A histogram makes no sense.
    #[error("histogram at step {step}: {error}")]
    Histogram {
        /// The step of the histogram.
        step: u32,
        /// What is wrong with it.
        error: HistogramError,
    },
}

impl PartRow {
    /// A row of so many steps. `floats` has a value for each step, or is empty if no step has a float. `present` has a bit for each
    /// step, the first step in the lowest bit of the first word; it is empty if all steps have a float, or none has.
    /// `histograms` have their steps, ascending.
    pub fn new(
        labels: Labels,
        steps: usize,
        floats: Vec<f64>,
        present: Vec<u64>,
        histograms: Vec<(u32, FloatHistogram)>,
    ) -> Result<PartRow, RowError> {
        let mut column = Column::new(steps);
        match (floats.len(), present.is_empty()) {
            (0, true) => {}
            (n, _) if n != steps => return Err(RowError::Floats { floats: n, steps }),
            (_, true) => column.set_floats(0, steps, &floats, 1),
            (_, false) => {
                let words = present.len();
                column = Column::of_words(floats, present).ok_or(RowError::Presence { words, steps })?;
            }
        }
        let mut next = 0;
        for (step, histogram) in histograms {
            let is_free = step >= next && (step as usize) < steps && column.float(step as usize).is_none();
            if !is_free {
                return Err(RowError::Step { step });
            }
            histogram.validate_shape().map_err(|error| RowError::Histogram { step, error })?;
            column.set_histogram(step as usize, Arc::new(histogram));
            next = step + 1;
        }
        Ok(PartRow { labels, column })
    }

    /// The labels.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// A value for each step, meaningless where there is no float; empty if no step has a float.
    pub fn floats(&self) -> &[f64] {
        if self.column.has_floats() { self.column.words().0 } else { &[] }
    }

    /// The bitmap of the steps that have a float; empty if all steps have one, or none has.
    pub fn present(&self) -> &[u64] {
        let (floats, present) = self.column.words();
        let n: usize = present.iter().map(|word| word.count_ones() as usize).sum();
        if n == 0 || n == floats.len() { &[] } else { present }
    }

    /// The histograms with their steps.
    pub fn histograms(&self) -> impl Iterator<Item = (u32, &FloatHistogram)> {
        self.column.histograms().iter().map(|(step, histogram)| (*step, histogram.as_ref()))
    }

    /// The memory that the row takes, bytes.
    pub fn bytes(&self) -> u64 {
        (size_of::<PartRow>() + self.labels.bytes()) as u64 + self.column.bytes()
    }

    /// A row of the evaluator.
    pub(crate) fn of(row: Row) -> PartRow {
        PartRow { labels: row.labels, column: row.column }
    }

    /// The row for the evaluator.
    pub(crate) fn into_row(self) -> Row {
        Row { labels: self.labels, drop_name: false, column: self.column }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(floats: usize, present: &[u64], histograms: &[u32]) -> Result<PartRow, RowError> {
        let histograms = histograms.iter().map(|step| (*step, FloatHistogram::default())).collect();
        PartRow::new(Labels::default(), 70, vec![1.5; floats], present.to_vec(), histograms)
    }

    #[test]
    fn rows_are_read_as_they_were_written() {
        for (floats, present, histograms) in [
            (70, vec![], vec![]),
            (70, vec![!0b110, 0b11_1111], vec![1, 2]),
            (0, vec![], vec![0, 69]),
            (0, vec![], vec![]),
        ] {
            let row = row(floats, &present, &histograms).expect("a row");
            assert_eq!((row.floats().len(), row.present()), (floats, &present[..]));
            assert_eq!(row.histograms().map(|(step, _)| step).collect::<Vec<_>>(), histograms);
        }
    }

    #[test]
    fn samples_belong_to_steps() {
        let found = |floats, present: &[u64], histograms: &[u32]| row(floats, present, histograms).err();
        assert_eq!(found(69, &[], &[]), Some(RowError::Floats { floats: 69, steps: 70 }));
        assert_eq!(found(0, &[1, 0], &[]), Some(RowError::Floats { floats: 0, steps: 70 }));
        assert_eq!(found(70, &[1], &[]), Some(RowError::Presence { words: 1, steps: 70 }));
        assert_eq!(found(70, &[1, 0, 0], &[]), Some(RowError::Presence { words: 3, steps: 70 }));
        assert_eq!(found(70, &[1, 1 << 6], &[]), Some(RowError::Presence { words: 2, steps: 70 }));
        for (present, histograms, step) in
            [(&[][..], &[70][..], 70), (&[], &[2, 2], 2), (&[], &[2, 1], 1), (&[1, 0], &[1, 0], 0)]
        {
            let floats = if present.is_empty() { 0 } else { 70 };
            assert_eq!(found(floats, present, histograms), Some(RowError::Step { step }));
        }
        assert_eq!(found(70, &[1, 0], &[0]), Some(RowError::Step { step: 0 }));
        assert_eq!(found(70, &[], &[3]), Some(RowError::Step { step: 3 }));
    }

    #[test]
    fn histograms_make_sense() {
        let mut wrong = FloatHistogram::default();
        wrong.positive_spans.push(tithon_chunks::Span { offset: 0, length: 9 });
        let error = PartRow::new(Labels::default(), 1, Vec::new(), Vec::new(), vec![(0, wrong)]).err();
        assert!(matches!(error, Some(RowError::Histogram { step: 0, .. })), "{error:?}");
    }
}
