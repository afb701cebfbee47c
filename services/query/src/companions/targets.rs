//! Merges the targets of several servers into one list. Thanos `pkg/targets/targets.go`.

use std::cmp::{Ordering, Reverse};

use tithon_index::Labels;
use tithon_storeapi::{ActiveTarget, TargetsByState};

/// Merges the lists. Of targets that differ only in replica labels one is kept, if they are neighbours when sorted with
/// these labels.
pub(crate) fn merge(found: Vec<TargetsByState>, replica_labels: &[String]) -> TargetsByState {
    let mut all = TargetsByState::default();
    for mut one in found {
        all.active.append(&mut one.active);
        all.dropped.append(&mut one.dropped);
    }
    TargetsByState {
        active: merge_active(all.active, replica_labels),
        dropped: merge_dropped(all.dropped, replica_labels),
    }
}

fn merge_active(mut targets: Vec<ActiveTarget>, replica_labels: &[String]) -> Vec<ActiveTarget> {
    targets.sort_by(identity);
    let mut kept: Vec<ActiveTarget> = Vec::with_capacity(targets.len());
    for mut target in targets {
        target.discovered_labels = target.discovered_labels.without(replica_labels);
        target.labels = target.labels.without(replica_labels);
        match kept.last_mut() {
            Some(last) if identity(last, &target).is_eq() => {
                if preference(last, &target).is_gt() {
                    *last = target;
                }
            }
            _ => kept.push(target),
        }
    }
    kept
}

fn merge_dropped(mut targets: Vec<Labels>, replica_labels: &[String]) -> Vec<Labels> {
    targets.sort();
    targets.iter_mut().for_each(|labels| *labels = labels.without(replica_labels));
    targets.dedup();
    targets
}

fn identity(a: &ActiveTarget, b: &ActiveTarget) -> Ordering {
    (&a.scrape_url, &a.scrape_pool, &a.discovered_labels, &a.labels).cmp(&(
        &b.scrape_url,
        &b.scrape_pool,
        &b.discovered_labels,
        &b.labels,
    ))
}

/// Of replicas of a target, one that is down comes first, then the one scraped last.
fn preference(a: &ActiveTarget, b: &ActiveTarget) -> Ordering {
    (a.health, Reverse(a.last_scrape)).cmp(&(b.health, Reverse(b.last_scrape)))
}

#[cfg(test)]
mod tests {
    use tithon_storeapi::{Moment, TargetHealth};

    use super::*;

    #[test]
    fn replicas_of_a_target_are_one() {
        let target = |replica: &str, health, seconds| ActiveTarget {
            labels: Labels::from_pairs([("job", "a"), ("replica", replica)]),
            discovered_labels: Labels::from_pairs([("__address__", "h"), ("replica", replica)]),
            scrape_url: "http://h/metrics".to_owned(),
            health,
            last_scrape: Moment { seconds, nanos: 0 },
            ..ActiveTarget::default()
        };
        let dropped = |replica: &str| Labels::from_pairs([("job", "b"), ("replica", replica)]);
        let found = vec![
            TargetsByState { active: vec![target("0", TargetHealth::Up, 9)], dropped: vec![dropped("0")] },
            TargetsByState {
                active: vec![target("1", TargetHealth::Down, 3), target("2", TargetHealth::Down, 4)],
                dropped: vec![dropped("1")],
            },
        ];
        let merged = merge(found.clone(), &["replica".to_owned()]);
        assert_eq!((merged.active.len(), merged.dropped.len()), (1, 1));
        let survivor = &merged.active[0];
        assert_eq!((survivor.health, survivor.last_scrape.seconds), (TargetHealth::Down, 4));
        assert_eq!(survivor.labels, Labels::from_pairs([("job", "a")]));
        let apart = merge(found, &[]);
        assert_eq!((apart.active.len(), apart.dropped.len()), (3, 2));
    }
}
