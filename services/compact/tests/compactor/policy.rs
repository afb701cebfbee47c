//! Retention by series: what each rule says goes when its time has come, and nothing before that.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tithon_compact::{CompactorOptions, Freed};
use tithon_engine::plan::{DownsampleSpans, Retention, RetentionPolicy, RetentionRule};
use tithon_index::{MatchOp, Matcher};

use crate::bed::{self, Spec};

/// Time since the end of hour `hour`.
fn since_ms(hour: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    now - (bed::BASE + hour * bed::HOUR)
}

fn rule(name: &str, value: &str, raw_ms: i64, of_5m_blocks_ms: i64) -> RetentionRule {
    let keep = Retention { of_raw_blocks_ms: raw_ms, of_5m_blocks_ms, of_1h_blocks_ms: 1 };
    RetentionRule { matchers: vec![Matcher::new(MatchOp::Regex, name, value).unwrap()], keep }
}

fn options(dir: &Path, rules: Vec<RetentionRule>) -> CompactorOptions {
    CompactorOptions {
        policy: RetentionPolicy { rules, otherwise: Retention::default() },
        // Nothing is merged.
        levels_ms: vec![bed::HOUR],
        spans: DownsampleSpans { raw_min_ms: 40 * bed::HOUR, five_minutes_min_ms: 1000 * bed::HOUR },
        delete_delay: Duration::ZERO,
        partial_age: Duration::ZERO,
        ..bed::options(dir)
    }
}

fn specs() -> Vec<Spec> {
    vec![Spec::new(1, (0, 2), "a"), Spec::new(2, (2, 4), "a"), Spec::new(3, (0, 2), "b")]
}

#[tokio::test(flavor = "multi_thread")]
async fn series_go_when_all_of_their_block_lies_beyond_their_time() {
    let store = Arc::new(bed::bucket_of(&specs()).await);
    let dir = tempfile::tempdir().unwrap();
    // Over for what ends at hour 2, not for what ends at hour 4.
    let between_ms = since_ms(3);
    let rules =
        vec![rule("n", "00", 0, 0), rule("n", "0.", between_ms, 1), rule("cluster", "b", between_ms, 1)];
    let compactor = bed::compactor(Arc::clone(&store) as _, options(dir.path(), rules));
    let all = bed::samples(&bed::objects(&store).await, &[]);
    let forecast = compactor.forecast_retention().await.unwrap();
    let freed = |rule: usize| forecast.by_rule.get(&Some(rule)).copied().unwrap_or_default();
    // Series 01 to 09 of both clusters' first blocks, and 10 and 11 of cluster b.
    assert_eq!((freed(0), freed(1).series, freed(2).series), (Freed::default(), 18, 2), "{forecast:?}");
    assert_eq!((freed(1).blocks_rewritten, freed(1).samples), (2, 18 * 12), "{forecast:?}");
    assert!(forecast.waiting.is_empty() && forecast.faulty.is_empty() && freed(1).bytes > 0);

    let report = compactor.iterate().await.unwrap();
    assert_eq!((report.rewritten, report.faults.len()), (2, 0), "{report:?}");
    tokio::time::sleep(Duration::from_millis(2)).await;
    let again = compactor.iterate().await.unwrap();
    assert_eq!((again.rewritten, again.faults.len()), (0, 0), "{again:?}");
    let objects = bed::objects(&store).await;
    let is_kept = |line: &&String| {
        let t: i64 = line.split("} ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let is_late = t >= bed::BASE + 2 * bed::HOUR;
        let is_one = |n: &str| line.contains(&format!("n=\"{n}\""));
        is_late || is_one("00") || (line.starts_with("a ") && (is_one("10") || is_one("11")))
    };
    let expected: BTreeSet<String> = all.iter().filter(is_kept).cloned().collect();
    assert_eq!(bed::samples(&objects, &[]), expected);
    let made = bed::metas(&objects).into_iter().find(|meta| meta.ulid < specs()[0].id()).unwrap();
    let rewrites = &made.thanos.as_ref().unwrap().rewrites;
    assert_eq!(rewrites[0].deletions_applied[0].request_id, "retention");
    // Another process finds nothing to do either.
    let compactor = bed::compactor(
        Arc::clone(&store) as _,
        options(
            dir.path(),
            vec![rule("n", "00", 0, 0), rule("n", "0.", between_ms, 1), rule("cluster", "b", between_ms, 1)],
        ),
    );
    assert_eq!(compactor.iterate().await.unwrap().rewritten, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_without_series_that_are_kept_are_marked() {
    let store = Arc::new(bed::bucket_of(&specs()).await);
    let dir = tempfile::tempdir().unwrap();
    let rules = vec![rule("cluster", "b", since_ms(3), 1)];
    let options = CompactorOptions { delete_delay: Duration::from_secs(3600), ..options(dir.path(), rules) };
    let report = bed::compactor(Arc::clone(&store) as _, options).iterate().await.unwrap();
    assert_eq!((report.marked_for_deletion, report.rewritten), (1, 0), "{report:?}");
    let objects = bed::objects(&store).await;
    let marked: Vec<bool> =
        specs().iter().map(|spec| bed::is_marked_for_deletion(&objects, spec.id())).collect();
    assert_eq!(marked, [false, false, true]);
}

/// Raw data stays while a coarser resolution that is to be kept longer lacks it, and what was cut is not downsampled anew.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_before_a_coarser_resolution_has_it() {
    let specs = [Spec::new(1, (0, 40), "long"), Spec::new(2, (40, 42), "short")];
    let store = Arc::new(bed::bucket_of(&specs).await);
    let dir = tempfile::tempdir().unwrap();
    let rules = || vec![rule("n", "03", 1, 0), rule("cluster", "short", 1, 0)];
    let mut options = options(dir.path(), rules());
    let compactor = bed::compactor(Arc::clone(&store) as _, options.clone());
    let waiting = compactor.forecast_retention().await.unwrap().waiting;
    assert_eq!(waiting, specs.each_ref().map(Spec::id));
    // Downsampled first, and cut then; the short block is never long enough.
    let report = compactor.iterate().await.unwrap();
    assert_eq!((report.downsampled, report.rewritten, report.faults.len()), (1, 1, 0), "{report:?}");
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let report = compactor.iterate().await.unwrap();
        assert_eq!((report.downsampled, report.rewritten, report.faults.len()), (0, 0, 0), "{report:?}");
    }
    let objects = bed::objects(&store).await;
    let series = |resolution_ms: i64| -> Vec<u64> {
        let metas = bed::metas(&objects).into_iter().filter(|meta| meta.resolution_ms() == resolution_ms);
        let mut series: Vec<u64> = metas.map(|meta| meta.stats.num_series).collect();
        series.sort_unstable();
        series
    };
    assert_eq!((series(0), series(300_000)), (vec![11, 12], vec![12]));
    // The block that was cut is not merged, so that its data at 5 minutes stays what it is.
    let cut =
        bed::metas(&objects).into_iter().find(|meta| meta.ulid < specs[0].id() && meta.resolution_ms() == 0);
    let mark = bed::get(&store, cut.unwrap().ulid, "no-compact-mark.json").await.unwrap();
    assert!(String::from_utf8_lossy(&mark).contains("past their retention"));
    // Where nothing is to be kept longer, nothing is waited for.
    options.downsampling = false;
    let report = bed::compactor(Arc::clone(&store) as _, options).iterate().await.unwrap();
    assert_eq!(report.marked_for_deletion, 1, "{report:?}");
}
