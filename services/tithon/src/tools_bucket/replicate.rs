//! `tithon tools bucket replicate`: blocks copied to another bucket. Thanos `pkg/replicate`.

use std::error::Error;
use std::time::{Duration, Instant};

use axum::Router;
use indicatif::ProgressBar;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use tithon_bucket::{Bucket, MarkKind};
use tithon_engine::BlockMeta;
use tithon_engine::plan::in_time;
use tithon_runtime::{GrpcServices, Metrics, RequestLog, now_ms};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use super::look::look;
use crate::bucket::{open_bucket, open_given};
use crate::cli::ReplicateFlags;
use crate::compact::RETRY;
use crate::process::Process;

/// From the beginning of one run to that of the next.
const INTERVAL: Duration = Duration::from_secs(60);
/// Prometheus's usual bounds.
const SECONDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Copies until a signal comes, or once.
pub async fn run(flags: &ReplicateFlags) -> Result<(), Box<dyn Error>> {
    if flags.compactions.is_empty() && flags.compaction_min > flags.compaction_max {
        return Err("--compaction-min must not be above --compaction-max".into());
    }
    let from = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    let to = open_given(flags.to.given()).await?.with_retry(RETRY);
    let process = Process::start_http("replicate", &flags.http, RequestLog::default()).await?;
    process.metrics.register(|registry| {
        for (bucket, side) in [(&from, "from"), (&to, "to")] {
            bucket.register_metrics(registry.sub_registry_with_label(("replicate".into(), side.into())));
        }
    });
    let counters = Counters::new(&process.metrics);
    let shutdown = process.shutdown.clone();
    let runs = async {
        if flags.single_run || !flags.ids.is_empty() {
            return replicate(flags, &from, &to, &counters).await;
        }
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let begin = Instant::now();
            let result = match replicate(flags, &from, &to, &counters).await {
                Ok(()) => "success",
                Err(error) => {
                    error!(error, "replication failed, the next run tries again");
                    "error"
                }
            };
            counters.runs.get_or_create(&[("result", result)]).inc();
            counters.seconds.get_or_create(&[("result", result)]).observe(begin.elapsed().as_secs_f64());
        }
    };
    let work = async {
        tokio::select! {
            result = runs => result,
            () = shutdown.wait() => Ok(()),
        }
    };
    process.serve_during(Router::new(), GrpcServices::default(), work).await?
}

/// Copies all blocks that are chosen and not yet there, the oldest first: where the other bucket is compacted too, that must
/// not see a gap.
async fn replicate(
    flags: &ReplicateFlags,
    from: &Bucket,
    to: &Bucket,
    counters: &Counters,
) -> Result<(), Box<dyn Error>> {
    let marks: &[MarkKind] = if flags.ignore_marked { &[MarkKind::Deletion] } else { &[] };
    let catalogue = look(from, marks).await?;
    let mut chosen = Vec::new();
    for block in catalogue.blocks().values() {
        if is_chosen(flags, block.meta()) && !(flags.ignore_marked && block.deletion_mark()?.is_some()) {
            chosen.push(block.meta());
        }
    }
    chosen.sort_by_key(|meta| (meta.min_time, meta.ulid));
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::new(chosen.len() as u64);
    for meta in chosen {
        let block = meta.ulid;
        let copied = from.copy_block(block, to, flags.block_files_concurrency).await;
        match copied.map_err(|error| format!("block {block} is not replicated: {error}"))? {
            Some(copied) => {
                counters.replicated.inc();
                counters.objects.inc_by(copied.objects);
                info!(block = %block, objects = copied.objects, bytes = copied.bytes, "block is replicated");
            }
            None => drop(counters.already_replicated.inc()),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    info!("replication done");
    Ok(())
}

fn is_chosen(flags: &ReplicateFlags, meta: &BlockMeta) -> bool {
    let labels = meta.thanos.as_ref().map(|thanos| &thanos.labels).filter(|labels| !labels.is_empty());
    let Some(labels) = labels else {
        warn!(block = %meta.ulid, "block is left out: it has no external labels");
        return false;
    };
    let now_ms = now_ms();
    if !in_time(meta, flags.min_time.at_ms(now_ms), flags.max_time.at_ms(now_ms)) {
        return false;
    }
    if !flags.ids.is_empty() {
        return flags.ids.contains(&meta.ulid);
    }
    let value = |name: &[u8]| {
        let name = std::str::from_utf8(name).unwrap_or_default();
        labels.get(name).map_or(&[][..], |value| value.as_bytes())
    };
    let level = meta.compaction.level;
    let has_level = match flags.compactions.is_empty() {
        true => (flags.compaction_min..=flags.compaction_max).contains(&level),
        false => flags.compactions.contains(&level),
    };
    let has_resolution =
        flags.resolutions.iter().any(|r| i64::try_from(r.as_millis()) == Ok(meta.resolution_ms()));
    has_level && has_resolution && flags.matchers.iter().all(|matcher| matcher.matches(value(matcher.name())))
}

/// The metrics of `thanos tools bucket replicate`.
struct Counters {
    already_replicated: Counter,
    replicated: Counter,
    objects: Counter,
    runs: Family<ByResult, Counter>,
    seconds: Family<ByResult, Histogram, fn() -> Histogram>,
}

/// The label of runs.
type ByResult = [(&'static str, &'static str); 1];

impl Counters {
    fn new(metrics: &Metrics) -> Counters {
        let counters = Counters {
            already_replicated: Counter::default(),
            replicated: Counter::default(),
            objects: Counter::default(),
            runs: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
        };
        for result in ["success", "error"] {
            drop(counters.runs.get_or_create(&[("result", result)]));
            drop(counters.seconds.get_or_create(&[("result", result)]));
        }
        metrics.register(|registry| {
            for (name, help, counter) in [
                ("blocks_already_replicated", "Blocks that were there already", &counters.already_replicated),
                ("blocks_replicated", "Blocks that were copied", &counters.replicated),
                ("objects_replicated", "Objects that were copied", &counters.objects),
            ] {
                registry.register(format!("thanos_replicate_{name}"), help, counter.clone());
            }
            let help = "Runs by their result";
            registry.register("thanos_replicate_replication_runs", help, counters.runs.clone());
            let name = "thanos_replicate_replication_run_duration_seconds";
            registry.register(name, "How long runs took, by their result", counters.seconds.clone());
        });
        counters
    }
}
