//! The value of a part as a store sends it, checked: rows once each, and a summary at the end.

use std::collections::HashSet;

use tithon_index::Labels;
use tithon_promql::{Annotation, PartRow, PartValue};
use tithon_storeapi::{PartSummary, RowUnreadable};

/// Why an answer is no value of a part.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum Unfit {
    /// The plan names a store that there is not.
    #[error("the store of the part is unknown")]
    NoStore,
    /// A row was sent again.
    #[error("row {0} was sent twice")]
    Twice(Labels),
    /// A row cannot be read.
    #[error(transparent)]
    Row(RowUnreadable),
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
#[derive(Default)]
pub(super) struct Value {
    rows: Vec<PartRow>,
    summary: Option<PartSummary>,
}

impl Value {
    /// Adds a row.
    pub(super) fn add(&mut self, row: PartRow) -> Result<(), Unfit> {
        if self.summary.is_some() {
            return Err(Unfit::Summary { rows: self.rows.len() });
        }
        self.rows.push(row);
        Ok(())
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
        if let Some(row) = self.rows.iter().find(|row| !known.insert(row.labels())) {
            return Err(Unfit::Twice(row.labels().clone()));
        }
        Ok(PartValue { rows: self.rows, annotations, stats })
    }
}

fn is_of_promql(annotation: &Annotation) -> bool {
    /// Longer than any that has the name of one metric.
    const BYTES_MAX: usize = 64 << 10;
    let text = &annotation.text;
    text.len() <= BYTES_MAX && (text.starts_with("PromQL warning: ") || text.starts_with("PromQL info: "))
}

/// Memory of a summary, bytes.
pub(super) fn bytes_of_summary(summary: &PartSummary) -> u64 {
    let texts: usize = summary.annotations.iter().map(|one| size_of::<Annotation>() + one.text.len()).sum();
    (size_of::<PartSummary>() + texts) as u64
}

#[cfg(test)]
mod tests {
    use tithon_promql::{Detail, PosRange, QueryStats};

    use super::*;

    fn row(job: &str) -> PartRow {
        let labels = Labels::from_pairs([("job", job)]);
        PartRow::new(labels, 2, vec![1.0, 2.0], Vec::new(), Vec::new()).expect("a row")
    }

    fn summary(rows: u64, annotations: &[&str]) -> PartSummary {
        let pos = PosRange::default();
        let one = |text: &&str| Annotation { text: (*text).to_owned(), pos, detail: Detail::None };
        let annotations = annotations.iter().map(one).collect();
        PartSummary { rows, annotations, stats: QueryStats::default() }
    }

    /// The labels of the rows of an answer, or why it is refused.
    fn check(jobs: &[&str], end: Option<PartSummary>) -> Result<Vec<String>, Unfit> {
        let mut value = Value::default();
        jobs.iter().try_for_each(|job| value.add(row(job)))?;
        if let Some(end) = end {
            value.end(end)?;
        }
        Ok(value.finish()?.rows.iter().map(|row| row.labels().to_string()).collect())
    }

    #[test]
    fn rows_keep_their_order() {
        let found = check(&["b", "a", "c"], Some(summary(3, &["PromQL info: x"])));
        let expected = ["{job=\"b\"}", "{job=\"a\"}", "{job=\"c\"}"].map(str::to_owned);
        assert_eq!(found, Ok(expected.to_vec()));
    }

    #[test]
    fn an_answer_is_whole() {
        assert_eq!(check(&["a"], None), Err(Unfit::Summary { rows: 1 }));
        assert_eq!(check(&["a"], Some(summary(2, &[]))), Err(Unfit::Summary { rows: 1 }));
        let labels = Labels::from_pairs([("job", "a")]);
        assert_eq!(check(&["a", "a"], Some(summary(2, &[]))), Err(Unfit::Twice(labels)));
        let note = check(&["a"], Some(summary(1, &["anything"])));
        assert_eq!(note, Err(Unfit::Annotation("anything".to_owned())));
        let mut value = Value::default();
        assert_eq!(value.end(summary(0, &[])), Ok(()));
        assert_eq!(value.add(row("a")), Err(Unfit::Summary { rows: 0 }));
    }
}
