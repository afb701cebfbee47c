//! Merges the metadata of several servers into one map. Thanos `pkg/metadata/metadata.go`.

use std::collections::BTreeMap;

use tithon_storeapi::{Meta, MetadataByMetric};

/// Merges the entries of each metric, equal entries once, in the order of arrival. Keeps at most `limit` metrics; a
/// negative limit means no limit.
pub(crate) fn merge(found: Vec<MetadataByMetric>, limit: i32) -> BTreeMap<String, Vec<Meta>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut merged: BTreeMap<String, Vec<Meta>> = BTreeMap::new();
    for (name, metas) in found.into_iter().flat_map(|one| one.0) {
        if let Some(known) = merged.get_mut(&name) {
            for meta in metas {
                if !known.contains(&meta) {
                    known.push(meta);
                }
            }
        } else if merged.len() < limit {
            merged.insert(name, metas);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_once_and_metrics_end_at_the_limit() {
        let meta = |help: &str| Meta { kind: "gauge".to_owned(), help: help.to_owned(), unit: String::new() };
        let one = |name: &str, metas: Vec<Meta>| MetadataByMetric(BTreeMap::from([(name.to_owned(), metas)]));
        let found = || {
            vec![
                one("up", vec![meta("b")]),
                one("down", vec![meta("x")]),
                one("up", vec![meta("a"), meta("b")]),
            ]
        };
        let all = merge(found(), -1);
        assert_eq!(all["up"], [meta("b"), meta("a")]);
        assert_eq!(all.len(), 2);
        assert_eq!(merge(found(), 1).into_keys().collect::<Vec<_>>(), ["up"]);
        assert!(merge(found(), 0).is_empty());
    }
}
