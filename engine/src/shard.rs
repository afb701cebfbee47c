//! Decides whether a series belongs to one of several parts of all series. Thanos `pkg/store/storepb/shard_info.go`.

use tithon_index::Labels;
use xxhash_rust::xxh64::xxh64;

/// One of several parts of all series, by a hash over some of their labels. A query frontend asks queriers for parts,
/// and queriers ask stores (`ShardInfo`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesShard {
    /// Index of the part.
    pub index: u64,
    /// Number of parts; at least 1.
    pub total: u64,
    /// Hash over `labels` if set, else over all other labels.
    pub by: bool,
    /// Label names.
    pub labels: Vec<String>,
}

impl SeriesShard {
    /// The part with these numbers, which come from a request; `None`, which stands for all series, if `total` is below
    /// 1. A negative index is converted as by upstream's cast, and belongs to no part.
    pub fn from_signed(index: i64, total: i64, by: bool, labels: Vec<String>) -> Option<SeriesShard> {
        let total = u64::try_from(total).ok().filter(|total| *total > 0)?;
        Some(SeriesShard { index: index.cast_unsigned(), total, by, labels })
    }

    /// Whether the series is in the part. The hash is XXH64 over names and values, each followed by 0xff, of the labels
    /// that count. `buffer` is scratch space.
    pub fn holds(&self, labels: &Labels, buffer: &mut Vec<u8>) -> bool {
        buffer.clear();
        for (name, value) in labels.iter() {
            if self.by == self.labels.iter().any(|l| l.as_bytes() == name) {
                for part in [name, value] {
                    buffer.extend_from_slice(part);
                    buffer.push(0xff);
                }
            }
        }
        xxh64(buffer, 0) % self.total == self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_in_one_shard_and_only_listed_labels_count() {
        for by in [false, true] {
            let shard = |index| SeriesShard { index, total: 3, by, labels: vec!["job".into()] };
            let shard_of = |job: &str, pod: &str| {
                let labels = Labels::from_pairs([("job", job), ("pod", pod)]);
                let all: Vec<u64> = (0..3).filter(|i| shard(*i).holds(&labels, &mut Vec::new())).collect();
                assert_eq!(all.len(), 1);
                all[0]
            };
            let same = |a: (&str, &str), b: (&str, &str)| assert_eq!(shard_of(a.0, a.1), shard_of(b.0, b.1));
            for i in 0..20 {
                let text = i.to_string();
                if by { same(("a", &text), ("a", "x")) } else { same((&text, "a"), ("x", "a")) }
            }
        }
    }
}
