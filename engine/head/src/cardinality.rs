//! Which labels have the most series and values. Prometheus `tsdb/index/postings.go`, `MemPostings.Stats`.

use crate::Head;
use crate::index::Index;

/// Names with their numbers, the greatest first.
pub type Greatest = Vec<(Vec<u8>, u64)>;

/// Numbers of series and values by label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cardinality {
    /// Number of pairs of label and value.
    pub label_pairs: u64,
    /// Series by metric name.
    pub series_by_metric: Greatest,
    /// Values by label name.
    pub values_by_label: Greatest,
    /// Bytes of names and values in all series, by label name.
    pub bytes_by_label: Greatest,
    /// Series by `NAME=VALUE`.
    pub series_by_pair: Greatest,
}

/// Bytes of a string besides its text, as Prometheus counts them.
const STRING_BYTES: u64 = 16;

impl Head {
    /// Numbers of the head's labels; each list has `limit` entries at the most.
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        self.index().cardinality(limit)
    }
}

impl Index {
    fn cardinality(&self, limit: usize) -> Cardinality {
        let mut found = Cardinality::default();
        let mut keep = |list: fn(&mut Cardinality) -> &mut Greatest, name: Vec<u8>, n: u64| {
            push(list(&mut found), limit, name, n);
        };
        let mut label_pairs = 0;
        for (name, values) in self.pairs() {
            let (mut n_values, mut bytes) = (0, 0);
            for (value, n_series) in values {
                (n_values, label_pairs) = (n_values + 1, label_pairs + 1);
                bytes += (name.len() as u64 + value.len() as u64 + 2 * STRING_BYTES) * n_series;
                if name == tithon_index::METRIC_NAME {
                    keep(|all| &mut all.series_by_metric, value.to_vec(), n_series);
                }
                keep(|all| &mut all.series_by_pair, [name, b"=", value].concat(), n_series);
            }
            keep(|all| &mut all.values_by_label, name.to_vec(), n_values);
            keep(|all| &mut all.bytes_by_label, name.to_vec(), bytes);
        }
        Cardinality { label_pairs, ..found }
    }
}

/// Puts a number into its place; of equal ones those that came first stay.
fn push(list: &mut Greatest, limit: usize, name: Vec<u8>, n: u64) {
    let at = list.partition_point(|(_, other)| *other >= n);
    if at < limit {
        list.truncate(limit - 1);
        list.insert(at, (name, n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_stay() {
        let mut list = Greatest::new();
        for (i, n) in [3, 1, 4, 1, 5, 9, 2, 6].into_iter().enumerate() {
            push(&mut list, 3, vec![i as u8], n);
        }
        assert_eq!(list, [(vec![5], 9), (vec![7], 6), (vec![4], 5)]);
        push(&mut list, 0, vec![9], 99);
        assert_eq!(list.len(), 3);
    }
}
