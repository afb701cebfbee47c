//! Rules about `Info`.

use std::collections::BTreeSet;

use tithon_index::Labels;
use tithon_proto::labels_from_wire;
use tonic::Code;

use crate::answer::status_text;
use crate::report::Rule;
use crate::rules::Checker;

const COMPONENT: Rule =
    Rule { name: "info-component", says: "Info names a component that queriers know, and has a store" };
const RANGE: Rule = Rule { name: "info-range", says: "the range begins before it ends, or is the empty one" };
const SETS: Rule = Rule {
    name: "info-label-sets",
    says: "external label sets are well formed, none empty, each listed once",
};
const TSDBS: Rule = Rule {
    name: "info-tsdbs",
    says: "time ranges of data have label sets that are listed, and lie in the range",
};
const SUPPORTS: Rule = Rule {
    name: "info-supports",
    says: "the server can take replica labels away and tell shards apart, so that queriers need not",
};
const STABLE: Rule = Rule { name: "info-stable", says: "asked again, Info tells the same labels" };
const HEALTH: Rule = Rule { name: "health", says: "grpc.health.v1 says SERVING when Info answers" };

/// The status `SERVING` of grpc.health.v1.
const SERVING: i32 = 1;

pub(crate) async fn check(checker: &mut Checker) {
    let info = checker.info.clone();
    let components = ["query", "rule", "sidecar", "store", "receive", "debug"];
    let component = &info.component_type;
    let known = if components.contains(&&**component) && info.store.is_some() {
        Ok(())
    } else {
        Err(format!("found component {component:?}, store {}", info.store.is_some()))
    };
    checker.rule(&COMPONENT, "Info", known);
    let store = info.store.unwrap_or_default();
    let range = (store.min_time, store.max_time);
    let is_range = range.0 <= range.1 || range == (i64::MAX, i64::MIN);
    checker.rule(&RANGE, "Info", if is_range { Ok(()) } else { Err(format!("found {range:?}")) });
    checker.rule(&SETS, "Info", label_sets(&checker.label_sets));
    let tsdbs = store_tsdbs(checker, range);
    checker.rule(&TSDBS, "Info", tsdbs);
    let supports = [
        (store.supports_sharding, "supports_sharding"),
        (store.supports_without_replica_labels, "supports_without_replica_labels"),
    ];
    for (is_set, name) in supports {
        checker.rule(&SUPPORTS, "Info", if is_set { Ok(()) } else { Err(format!("{name} is not set")) });
    }
    let again = checker.client_for_one().info().await;
    let same = again.map_err(|status| status_text(Some(&status))).and_then(|again| {
        let same = again.label_sets == info.label_sets && again.component_type == info.component_type;
        if same { Ok(()) } else { Err("other labels than before".to_owned()) }
    });
    checker.rule(&STABLE, "Info", same);
    match checker.client_for_one().health().await {
        Err(status) if status.code() == Code::Unimplemented => {
            checker.leave_out("grpc.health.v1: the server does not have it");
        }
        health => {
            let serving = health.map_err(|status| status_text(Some(&status))).and_then(|found| {
                if found == SERVING { Ok(()) } else { Err(format!("found {found}, expected {SERVING}")) }
            });
            checker.rule(&HEALTH, "Check", serving);
        }
    }
}

fn label_sets(sets: &[Labels]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for set in sets {
        if set.is_empty() {
            return Err("an empty label set".to_owned());
        }
        if !seen.insert(set) {
            return Err(format!("{set} is listed twice"));
        }
    }
    Ok(())
}

fn store_tsdbs(checker: &Checker, range: (i64, i64)) -> Result<(), String> {
    for tsdb in checker.info.store.iter().flat_map(|store| &store.tsdb_infos) {
        let labels = labels_from_wire(tsdb.labels.as_ref().map_or(&[][..], |set| &set.labels));
        if !labels.is_empty() && !checker.label_sets.contains(&labels) {
            return Err(format!("{labels} is no label set of the server"));
        }
        // The server's range may be cut by flags, that of a TSDB is not.
        if tsdb.min_time > tsdb.max_time || tsdb.max_time < range.0 || tsdb.min_time > range.1 {
            return Err(format!("{labels}: {}..{} is outside {range:?}", tsdb.min_time, tsdb.max_time));
        }
    }
    Ok(())
}
