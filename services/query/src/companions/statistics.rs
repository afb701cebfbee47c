//! Merges the statistics of several TSDBs. Thanos `pkg/status/statuspb/custom.go`.

use std::collections::BTreeMap;

use tithon_storeapi::{Statistic, StatisticsByTenant, TsdbStatistics};

/// Merges the statistics of all tenants of all servers.
pub(crate) fn merge(found: Vec<StatisticsByTenant>) -> TsdbStatistics {
    let mut all = TsdbStatistics::default();
    for one in found.into_iter().flat_map(|by_tenant| by_tenant.0.into_values()) {
        all.series = all.series.saturating_add(one.series);
        all.label_pairs = all.label_pairs.saturating_add(one.label_pairs);
        all.chunks = all.chunks.saturating_add(one.chunks);
        if all.min_time_ms <= 0 || all.min_time_ms > one.min_time_ms {
            all.min_time_ms = one.min_time_ms;
        }
        all.max_time_ms = all.max_time_ms.max(one.max_time_ms);
        all.series_by_metric = join(all.series_by_metric, one.series_by_metric, u64::saturating_add);
        // Several TSDBs may have the same label values, so their counts are not added.
        all.values_by_label = join(all.values_by_label, one.values_by_label, u64::max);
        all.bytes_by_label = join(all.bytes_by_label, one.bytes_by_label, u64::saturating_add);
        all.series_by_pair = join(all.series_by_pair, one.series_by_pair, u64::saturating_add);
    }
    all
}

/// Merges two lists by name with `both`, the greatest value first.
fn join(a: Vec<Statistic>, b: Vec<Statistic>, both: fn(u64, u64) -> u64) -> Vec<Statistic> {
    let mut values: BTreeMap<String, u64> = a.into_iter().map(|one| (one.name, one.value)).collect();
    for Statistic { name, value } in b {
        values.entry(name).and_modify(|known| *known = both(*known, value)).or_insert(value);
    }
    let mut list: Vec<Statistic> =
        values.into_iter().map(|(name, value)| Statistic { name, value }).collect();
    // The sort is stable, so entries of equal value stay in the order of their names.
    list.sort_by_key(|one| std::cmp::Reverse(one.value));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_summed() {
        let list = |values: &[(&str, u64)]| -> Vec<Statistic> {
            values.iter().map(|(name, value)| Statistic { name: (*name).to_owned(), value: *value }).collect()
        };
        let one = |series, min, max, metrics: &[(&str, u64)]| TsdbStatistics {
            series,
            min_time_ms: min,
            max_time_ms: max,
            series_by_metric: list(metrics),
            values_by_label: list(metrics),
            ..TsdbStatistics::default()
        };
        let tenants = [
            ("a".to_owned(), one(3, 50, 90, &[("up", 2), ("x", 1)])),
            ("b".to_owned(), one(5, 40, 80, &[("up", 1), ("y", 3)])),
        ];
        let merged = merge(vec![StatisticsByTenant(BTreeMap::from(tenants))]);
        assert_eq!((merged.series, merged.min_time_ms, merged.max_time_ms), (8, 40, 90));
        assert_eq!(merged.series_by_metric, list(&[("up", 3), ("y", 3), ("x", 1)]));
        assert_eq!(merged.values_by_label, list(&[("y", 3), ("up", 2), ("x", 1)]));
    }
}
