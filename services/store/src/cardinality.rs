//! Cardinality of blocks, for tools and the web API: the labels and metrics with the most values and series.

use std::collections::BTreeMap;

use serde::Serialize;
use tithon_index::{IndexError, IndexHeader, PairCardinality};

/// Cardinality of a block, or of several blocks: then each number is the largest of any block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cardinality {
    /// Number of series.
    pub series: u64,
    /// Number of label names.
    pub names: u64,
    /// Number of label pairs.
    pub pairs: u64,
    /// Label names with the most values, and the number of values.
    pub values_by_name: Vec<Counted>,
    /// Metric names with the most series, and the number of series.
    pub series_by_metric: Vec<Counted>,
    /// Label pairs, as `name=value`, with the most series, and the number of series.
    pub series_by_pair: Vec<Counted>,
}

/// A name or pair with its count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// The counted name or pair; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// The count.
    pub count: u64,
}

impl Cardinality {
    /// The cardinality of the block with this index header; each list has at most `most` entries.
    ///
    /// Fails when the header is damaged.
    pub fn of(header: &IndexHeader, most: usize) -> Result<Cardinality, IndexError> {
        let found = tithon_index::Cardinality::of(header, most)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let name = |name: &tithon_index::NameCardinality| (text(&name.name), name.values);
        let metric = |pair: &PairCardinality| (text(&pair.value), pair.series);
        let pair =
            |pair: &PairCardinality| (format!("{}={}", text(&pair.name), text(&pair.value)), pair.series);
        Ok(Cardinality {
            series: found.series,
            names: found.names.len() as u64,
            pairs: found.pairs,
            values_by_name: first(found.names.iter().map(name), most),
            series_by_metric: first(found.top_metrics.iter().map(metric), most),
            series_by_pair: first(found.top_pairs.iter().map(pair), most),
        })
    }

    /// Merges another block's cardinality: the larger of two numbers stays. Lists are cut to `most` entries; the lists
    /// of single blocks should be longer, or entries may be missing.
    pub fn take_in(&mut self, other: Cardinality, most: usize) {
        self.series = self.series.max(other.series);
        self.names = self.names.max(other.names);
        self.pairs = self.pairs.max(other.pairs);
        for (mine, theirs) in [
            (&mut self.values_by_name, other.values_by_name),
            (&mut self.series_by_metric, other.series_by_metric),
            (&mut self.series_by_pair, other.series_by_pair),
        ] {
            let mut largest: BTreeMap<String, u64> = BTreeMap::new();
            for one in std::mem::take(mine).into_iter().chain(theirs) {
                let count = largest.entry(one.name).or_default();
                *count = one.count.max(*count);
            }
            *mine = first(largest, most);
        }
    }
}

/// The `most` entries with the greatest counts; entries of equal count are ordered by name.
fn first(counts: impl IntoIterator<Item = (String, u64)>, most: usize) -> Vec<Counted> {
    let mut list: Vec<Counted> = counts.into_iter().map(|(name, count)| Counted { name, count }).collect();
    list.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
    list.truncate(most);
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(list: &[(&str, u64)]) -> Vec<Counted> {
        list.iter().map(|(name, count)| Counted { name: (*name).to_owned(), count: *count }).collect()
    }

    #[test]
    fn of_several_blocks_the_larger_number_counts() {
        let mut one = Cardinality {
            series: 10,
            names: 3,
            pairs: 7,
            values_by_name: counted(&[("pod", 5), ("job", 2)]),
            ..Cardinality::default()
        };
        let other = Cardinality {
            series: 8,
            names: 4,
            values_by_name: counted(&[("job", 3), ("zone", 1)]),
            ..one.clone()
        };
        one.take_in(other, 2);
        assert_eq!((one.series, one.names, one.pairs), (10, 4, 7));
        assert_eq!(one.values_by_name, counted(&[("pod", 5), ("job", 3)]));
    }
}
