//! Which blocks a store serves by time, labels and age, and what it then advertises.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bed;

use tithon_bucket::{Bucket, BucketConfig, parse_selector};
use tithon_engine::plan::{Scope, TimeBound};
use tithon_runtime::Metrics;
use tithon_store::StoreOptions;
use tithon_storeapi::StoreApi;

/// Each of the two replicas has six blocks of two hours.
const HOUR_MS: i64 = 3_600_000;
const FIRST_MS: i64 = 1_710_028_800_000;

/// The number of served blocks, the advertised range, and the number of blocks excluded for `reason`.
async fn served(scope: Scope, reason: &str) -> (usize, (i64, i64), u64) {
    let dir = bed::bucket_of(&["replica-a", "replica-b"]);
    let bucket = Bucket::open(&BucketConfig::filesystem(dir.path())).unwrap();
    let metrics = Metrics::new("0");
    let store = bed::store_with(bucket, StoreOptions { scope, ..StoreOptions::default() }, &metrics).await;
    let range = store.info().unwrap().range;
    let line = format!("thanos_blocks_meta_synced{{state=\"{reason}\"}} ");
    let text = metrics.text();
    let count = text.lines().find_map(|found| found.strip_prefix(&line)).unwrap_or_else(|| panic!("{text}"));
    (store.n_blocks(), (range.min.0, range.max.0), count.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_of_a_time() {
    let all = (FIRST_MS, FIRST_MS + 12 * HOUR_MS);
    assert_eq!(served(Scope::default(), "time-excluded").await, (12, all, 0));
    // The blocks at the ends overlap the range; the advertised range is cut to it.
    let (min, max) = (FIRST_MS + 3 * HOUR_MS, FIRST_MS + 5 * HOUR_MS);
    let scope = Scope { min_time: TimeBound::At(min), max_time: TimeBound::At(max), ..Scope::default() };
    assert_eq!(served(scope, "time-excluded").await, (4, (min, max), 8));
    let scope = Scope { min_time: TimeBound::FromNow(-24 * HOUR_MS), ..Scope::default() };
    assert_eq!(served(scope, "time-excluded").await, (0, (i64::MAX, i64::MIN), 12));
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_of_labels() {
    let rules = parse_selector("- {action: keep, source_labels: [replica], regex: a}").unwrap();
    let scope = Scope { rules, ..Scope::default() };
    assert_eq!(served(scope, "label-excluded").await, (6, (FIRST_MS, FIRST_MS + 12 * HOUR_MS), 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_that_are_old_enough() {
    let scope = Scope { consistency_delay_ms: i64::MAX, ..Scope::default() };
    assert_eq!(served(scope, "too-fresh").await, (0, (i64::MAX, i64::MIN), 12));
}
