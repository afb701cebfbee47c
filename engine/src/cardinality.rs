//! How many values and series the labels of a block have, from the offset table of its index alone: the length of a postings list
//! tells how many series have a pair. Neither postings nor series are read. Prometheus `tsdb/index/postings.go`, `PostingsStats`.

use std::collections::BTreeMap;

use serde::Serialize;
use tithon_index::{IndexError, IndexHeader, METRIC_NAME};

/// Labels of a block, or of several: then each number is the largest that one block has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cardinality {
    /// Number of series.
    pub series: u64,
    /// Number of label names.
    pub names: u64,
    /// Number of pairs of name and value.
    pub pairs: u64,
    /// Label names with the most values, with how many.
    pub values_by_name: Vec<Counted>,
    /// Metric names with the most series.
    pub series_by_metric: Vec<Counted>,
    /// Pairs, as `name=value`, with the most series.
    pub series_by_pair: Vec<Counted>,
}

/// Something and how often it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// What is counted; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// How many.
    pub count: u64,
}

/// The first of a list by count, of equal counts by name. Bounded: it holds twice as many at most.
struct Top {
    most: usize,
    found: Vec<Counted>,
}

impl Top {
    fn new(most: usize) -> Top {
        Top { most, found: Vec::new() }
    }

    fn add(&mut self, count: u64, name: impl FnOnce() -> String) {
        let least = self.found.get(self.most.wrapping_sub(1)).map_or(0, |last| last.count);
        if self.most > 0 && count >= least {
            self.found.push(Counted { name: name(), count });
            if self.found.len() >= 2 * self.most {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        self.found.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.name.cmp(&b.name)));
        self.found.truncate(self.most);
    }

    fn finish(mut self) -> Vec<Counted> {
        self.cut();
        self.found
    }
}

/// The labels of a block with `header`; lists have `most` entries at most.
pub fn cardinality(header: &IndexHeader, most: usize) -> Result<Cardinality, IndexError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (mut by_name, mut by_metric, mut by_pair) = (Top::new(most), Top::new(most), Top::new(most));
    let mut out = Cardinality::default();
    // The list of all series is the one of an empty pair.
    for value in header.label_values(b"")? {
        out.series = out.series.max(value?.series());
    }
    for name in header.label_names()? {
        if name.is_empty() {
            continue;
        }
        let mut values = 0;
        for value in header.label_values(name)? {
            let value = value?;
            let series = value.series();
            values += 1;
            if name == METRIC_NAME {
                by_metric.add(series, || text(value.value));
            }
            by_pair.add(series, || format!("{}={}", text(name), text(value.value)));
        }
        out.names += 1;
        out.pairs += values;
        by_name.add(values, || text(name));
    }
    out.values_by_name = by_name.finish();
    out.series_by_metric = by_metric.finish();
    out.series_by_pair = by_pair.finish();
    Ok(out)
}

impl Cardinality {
    /// Takes in another block: of each number the larger stays. Lists are cut to `most` entries; so that none is missing,
    /// those of single blocks should be longer.
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
            let mut top = Top::new(most);
            largest.into_iter().for_each(|(name, count)| top.add(count, || name));
            *mine = top.finish();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(list: &[(&str, u64)]) -> Vec<Counted> {
        list.iter().map(|(name, count)| Counted { name: (*name).to_owned(), count: *count }).collect()
    }

    #[test]
    fn the_first_by_count_stay() {
        let mut top = Top::new(2);
        for (name, count) in [("a", 1), ("b", 5), ("c", 3), ("d", 5), ("e", 2), ("f", 9)] {
            top.add(count, || name.to_owned());
        }
        assert_eq!(top.finish(), counted(&[("f", 9), ("b", 5)]));
        let mut none = Top::new(0);
        none.add(1, String::new);
        assert!(none.finish().is_empty());
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
