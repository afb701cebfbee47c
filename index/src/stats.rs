//! Cardinality from the postings offset table alone: the length of each list tells how many series have the pair.

use crate::{IndexError, IndexHeader, METRIC_NAME};

/// How many series a block has, and where they come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Series in the block.
    pub series: u64,
    /// Label pairs in the block.
    pub pairs: u64,
    /// Every label name, in byte order.
    pub names: Vec<NameCardinality>,
    /// Pairs of label name and value with the most series, most first; ties in byte order.
    pub top_pairs: Vec<PairCardinality>,
    /// Metric names with the most series, most first; ties in byte order.
    pub top_metrics: Vec<PairCardinality>,
}

/// One label name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameCardinality {
    /// The name.
    pub name: Box<[u8]>,
    /// Values it has.
    pub values: u64,
    /// Series that have it.
    pub series: u64,
    /// Bytes of all its values together.
    pub value_bytes: u64,
}

/// One pair of label name and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairCardinality {
    /// The name.
    pub name: Box<[u8]>,
    /// The value.
    pub value: Box<[u8]>,
    /// Series that have the pair.
    pub series: u64,
}

impl Cardinality {
    /// Walks the postings offset table of a block, keeping the `top` most frequent of each kind.
    pub fn of(header: &IndexHeader, top: usize) -> Result<Cardinality, IndexError> {
        let mut found = Cardinality::default();
        if let Some(all) = header.label_values(b"")?.next() {
            found.series = all?.series();
        }
        for name in header.label_names()? {
            let mut total = NameCardinality { name: name.into(), values: 0, series: 0, value_bytes: 0 };
            for value in header.label_values(name)? {
                let value = value?;
                let series = value.series();
                total.values += 1;
                total.series += series;
                total.value_bytes += value.value.len() as u64;
                keep_top(&mut found.top_pairs, top, (name, value.value, series));
                if name == METRIC_NAME {
                    keep_top(&mut found.top_metrics, top, (name, value.value, series));
                }
            }
            found.pairs += total.values;
            found.names.push(total);
        }
        Ok(found)
    }
}

/// Puts a pair where it belongs among the most frequent, if it does. Pairs come in byte order, so later ones lose ties.
fn keep_top(kept: &mut Vec<PairCardinality>, top: usize, (name, value, series): (&[u8], &[u8], u64)) {
    let at = kept.partition_point(|pair| pair.series >= series);
    if at < top {
        kept.truncate(top - 1);
        kept.insert(at, PairCardinality { name: name.into(), value: value.into(), series });
    }
}
