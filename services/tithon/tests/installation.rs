//! A whole installation: two Prometheus servers as a pair that scrape node_exporter too, each with a sidecar, an S3 server, store, compact,
//! query, rule and an Alertmanager. Every process is killed once and starts again.
//!
//! The bucket is a directory where `versitygw` is not installed, and the test says so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "a test has no public items; pub says what a module offers")]

#[path = "../../bucket/tests/objects/fleet.rs"]
#[allow(dead_code, reason = "other tests share it")]
mod fleet;
#[path = "installation/history.rs"]
mod history;
#[path = "installation/lab.rs"]
mod lab;
#[path = "../../bucket/tests/objects/look.rs"]
#[allow(dead_code, reason = "other tests share it")]
mod look;
#[path = "installation/outside.rs"]
mod outside;
#[path = "differential/process.rs"]
#[allow(dead_code, reason = "other tests start other servers")]
mod process;
#[path = "../../bucket/tests/objects/swift.rs"]
#[allow(dead_code, reason = "the S3 server needs none of it")]
mod swift;

use tithon_engine::{BlockMeta, SourceType};

use crate::history::History;
use crate::lab::{Lab, Part, value};
use crate::process::{Server, until};

/// Whether the programs are there; in CI, which sets `TITHON_SERVERS`, they must be.
fn is_installed(programs: &[&str]) -> bool {
    programs.iter().all(|program| {
        let found = std::process::Command::new(program).arg("--version").output().is_ok();
        assert!(found || std::env::var_os("TITHON_SERVERS").is_none(), "{program} is not installed");
        if !found {
            eprintln!("skipped: {program} is not installed");
        }
        found
    })
}

#[test]
fn every_process_is_killed_once_and_nothing_is_lost() {
    if !is_installed(&["prometheus", "promtool", "prometheus-alertmanager", "prometheus-node-exporter"]) {
        return;
    }
    let history = History::new();
    let mut lab = Lab::new(&history);
    lab.start_all();
    the_view_is_right(&lab, &history);
    until("blocks of both replicas and of the ruler", || {
        let metas = lab.metas();
        let live =
            |replica: &str| metas.iter().any(|meta| is_live(meta, &lab) && label(meta, "replica") == replica);
        let ruled = metas.iter().any(|meta| meta.thanos.as_ref().unwrap().source == SourceType::Ruler);
        live("a") && live("b") && ruled
    });
    lab.outside.set_pressure(9);
    until("a notification of the alert", || lab.outside.last_status().as_deref() == Some("firing"));
    let told = lab.outside.notifications();
    let alert = &told[0];
    assert_eq!(
        (&alert["labels"]["alertname"], &alert["labels"]["ruler"]),
        (&"Pressure".into(), &"one".into())
    );
    assert_eq!(alert["annotations"]["text"], "pressure is 9 in lab");

    let recorded = "count_over_time(lab:up:sum[10m])";
    let before = value(lab.querier(), recorded, true).unwrap();
    for part in Part::ALL {
        kill_and_restart(&mut lab, part);
    }
    until("results from before and after the kills", || {
        value(lab.querier(), recorded, true).is_some_and(|count| count > before + 5.0)
    });
    lab.outside.set_pressure(1);
    until("a notification that the alert is resolved", || {
        lab.outside.last_status().as_deref() == Some("resolved")
    });
    the_view_is_right(&lab, &history);
    the_bucket_is_right(&lab, &history);
}

/// What the others show while a part is missing, and that all is well when it is back.
fn kill_and_restart(lab: &mut Lab, part: Part) {
    if !lab.kill(part) {
        return;
    }
    if part != Part::Query {
        let what = format!("all targets without {part:?}");
        until(&what, || value(lab.querier(), "count(up)", true) == Some(lab::N_TARGETS));
    }
    lab.restart(part);
    until(&format!("healthy targets after the return of {part:?}"), || {
        value(lab.querier(), "sum(up)", true) == Some(lab::N_TARGETS)
    });
    eprintln!("installation: {part:?} was killed and is back");
}

/// Both replicas have every target, and one of each is left behind deduplication.
fn the_view_is_right(lab: &Lab, history: &History) {
    let querier = lab.querier();
    // Merged blocks have the data of both and no label of a replica.
    until("both replicas of all targets", || {
        value(querier, "count(up{replica=~'a|b'})", false) == Some(2.0 * lab::N_TARGETS)
    });
    assert_eq!(value(querier, "count(up)", true), Some(lab::N_TARGETS));
    assert_eq!(value(querier, "count(count by (replica) (up))", true), Some(1.0));
    assert_eq!(value(querier, "count(node_memory_MemTotal_bytes)", true), Some(1.0));
    until("the history of both replicas", || {
        let found = history.count(querier, "max_source_resolution=0s");
        found.is_some_and(|found| found > history.n_of_replica())
    });
}

/// The blocks are merged and downsampled, and the store alone shows the same.
fn the_bucket_is_right(lab: &Lab, history: &History) {
    let merged = |meta: &BlockMeta| meta.thanos.as_ref().unwrap().source == SourceType::Compactor;
    until("merged and downsampled blocks", || {
        let metas = lab.metas();
        let of_history = |resolution: i64| {
            let spans = |meta: &&BlockMeta| merged(meta) && meta.max_time - meta.min_time > 40 * 3_600_000;
            let is_of = |meta: &BlockMeta| meta.thanos.as_ref().unwrap().downsample.resolution == resolution;
            metas.iter().filter(spans).filter(|meta| is_of(meta)).count()
        };
        let live =
            metas.iter().any(|meta| is_live(meta, lab) && merged(meta) && label(meta, "replica").is_empty());
        live && of_history(0) > 0 && of_history(300_000) > 0
    });
    lab.verify_bucket();
    let over_store = Server::query(&[&lab.grpc(Part::Store)], &["--query.replica-label=replica"]);
    until("all samples of the history", || {
        history.count(&over_store, "max_source_resolution=0s") == Some(history.n_of_both())
    });
    until("the history at 5 minutes", || history.is_whole_at_5m(&over_store));
    until("all targets in blocks", || {
        value(&over_store, "count(max_over_time(up[10m]))", true) == Some(lab::N_TARGETS)
    });
    let node = "count(last_over_time(node_memory_MemTotal_bytes{cluster='lab'}[10m]))";
    assert_eq!(value(&over_store, node, true), Some(1.0));
    assert!(value(&over_store, "count_over_time(lab:up:sum{ruler='one'}[10m])", true).is_some());
}

/// Whether a block has samples that were scraped during the test.
fn is_live(meta: &BlockMeta, lab: &Lab) -> bool {
    meta.min_time >= lab.begun_ms
}

fn label<'a>(meta: &'a BlockMeta, name: &str) -> &'a str {
    meta.thanos.as_ref().and_then(|thanos| thanos.labels.get(name)).map_or("", String::as_str)
}
