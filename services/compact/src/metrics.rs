//! Metrics under the names of `thanos compact`, as its dashboards and alerts read them.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Metric;
use tithon_bucket::MarkKind;
use tithon_engine::plan::NoCompactReason;
use tithon_runtime::Metrics;

type ByResolution = Family<[(&'static str, String); 1], Counter>;
type SecondsByResolution = Family<[(&'static str, String); 1], Histogram, fn() -> Histogram>;
type ByState = Family<[(&'static str, &'static str); 1], Gauge>;

/// Counters of one compactor; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct CompactMetrics {
    pub(crate) halted: Gauge,
    pub(crate) retries: Counter,
    pub(crate) iterations: Counter,
    pub(crate) cleanup_loops: Counter,
    pub(crate) partial_deletion_attempts: Counter,
    pub(crate) blocks_cleaned: Counter,
    pub(crate) cleanup_failures: Counter,
    pub(crate) deletions_held_back: Counter,
    pub(crate) blocks_marked: Family<[(&'static str, String); 2], Counter>,
    pub(crate) marked_for_deletion: Counter,
    pub(crate) garbage_blocks: Counter,
    pub(crate) garbage_runs: Counter,
    pub(crate) garbage_failures: Counter,
    pub(crate) garbage_seconds: Histogram,
    pub(crate) compactions: ByResolution,
    pub(crate) compaction_failures: ByResolution,
    pub(crate) plans_given_up: Counter,
    pub(crate) runs_started: ByResolution,
    pub(crate) runs_completed: ByResolution,
    pub(crate) vertical_compactions: ByResolution,
    pub(crate) downsamples: ByResolution,
    pub(crate) downsample_failures: ByResolution,
    pub(crate) downsample_seconds: SecondsByResolution,
    pub(crate) todo_compactions: Gauge,
    pub(crate) todo_compaction_blocks: Gauge,
    pub(crate) todo_downsample_blocks: Gauge,
    pub(crate) todo_deletion_blocks: Gauge,
    pub(crate) delete_delay: Gauge<f64, AtomicU64>,
    pub(crate) consistency_delay: Gauge<f64, AtomicU64>,
    pub(crate) syncs: Counter,
    pub(crate) sync_failures: Counter,
    pub(crate) sync_seconds: Histogram,
    pub(crate) metas_synced: ByState,
    pub(crate) metas_modified: ByState,
    pub(crate) tsdb_compactions: Counter,
    pub(crate) tsdb_seconds: Histogram,
    pub(crate) deletions: Gauge,
    pub(crate) deletions_done: Counter,
    pub(crate) rewrites: Family<[(&'static str, &'static str); 1], Counter>,
    pub(crate) leases: Family<[(&'static str, &'static str); 1], Counter>,
}

/// What became of an attempt to take a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeaseEvent {
    /// It is ours.
    Taken,
    /// It was somebody's whose time is up.
    TakenOver,
    /// Somebody else has it.
    Elsewhere,
    /// It was ours and somebody took it over.
    Lost,
}

impl LeaseEvent {
    const ALL: [LeaseEvent; 4] =
        [LeaseEvent::Taken, LeaseEvent::TakenOver, LeaseEvent::Elsewhere, LeaseEvent::Lost];

    const fn name(self) -> &'static str {
        match self {
            LeaseEvent::Taken => "taken",
            LeaseEvent::TakenOver => "taken_over",
            LeaseEvent::Elsewhere => "elsewhere",
            LeaseEvent::Lost => "lost",
        }
    }
}

const SYNC_SECONDS: [f64; 7] = [0.01, 1.0, 10.0, 100.0, 300.0, 600.0, 1000.0];
const GARBAGE_SECONDS: [f64; 15] =
    [0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 720.0];
const JOB_SECONDS: [f64; 8] = [60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 10_800.0, 14_400.0];

/// States of `thanos_blocks_meta_synced`.
pub(crate) const STATES: [&str; 12] = [
    "loaded",
    "failed",
    "no-meta-json",
    "corrupted-meta-json",
    "time-excluded",
    "label-excluded",
    "too-fresh",
    "marked-for-deletion",
    "duplicate",
    "marked-for-no-compact",
    "marked-for-no-downsample",
    "parquet-migrated",
];

impl CompactMetrics {
    pub(crate) fn new(delete_delay: Duration, consistency_delay_ms: i64) -> CompactMetrics {
        let metrics = CompactMetrics {
            halted: Gauge::default(),
            retries: Counter::default(),
            iterations: Counter::default(),
            cleanup_loops: Counter::default(),
            partial_deletion_attempts: Counter::default(),
            blocks_cleaned: Counter::default(),
            cleanup_failures: Counter::default(),
            deletions_held_back: Counter::default(),
            blocks_marked: Family::default(),
            marked_for_deletion: Counter::default(),
            garbage_blocks: Counter::default(),
            garbage_runs: Counter::default(),
            garbage_failures: Counter::default(),
            garbage_seconds: Histogram::new(GARBAGE_SECONDS),
            compactions: Family::default(),
            compaction_failures: Family::default(),
            plans_given_up: Counter::default(),
            runs_started: Family::default(),
            runs_completed: Family::default(),
            vertical_compactions: Family::default(),
            downsamples: Family::default(),
            downsample_failures: Family::default(),
            downsample_seconds: Family::new_with_constructor(|| Histogram::new(JOB_SECONDS)),
            todo_compactions: Gauge::default(),
            todo_compaction_blocks: Gauge::default(),
            todo_downsample_blocks: Gauge::default(),
            todo_deletion_blocks: Gauge::default(),
            delete_delay: Gauge::default(),
            consistency_delay: Gauge::default(),
            syncs: Counter::default(),
            sync_failures: Counter::default(),
            sync_seconds: Histogram::new(SYNC_SECONDS),
            metas_synced: Family::default(),
            metas_modified: Family::default(),
            tsdb_compactions: Counter::default(),
            tsdb_seconds: Histogram::new(JOB_SECONDS),
            deletions: Gauge::default(),
            deletions_done: Counter::default(),
            rewrites: Family::default(),
            leases: Family::default(),
        };
        metrics.delete_delay.set(delete_delay.as_secs_f64());
        metrics.consistency_delay.set(consistency_delay_ms as f64 / 1e3);
        for (kind, reason) in [
            (MarkKind::Deletion, ""),
            (MarkKind::NoCompact, NoCompactReason::OutOfOrderChunk.as_str()),
            (MarkKind::NoCompact, NoCompactReason::IndexSizeExceeding.as_str()),
        ] {
            let labels = [("marker", kind.file().to_owned()), ("reason", reason.to_owned())];
            drop(metrics.blocks_marked.get_or_create(&labels));
        }
        for reason in ["deletion", "retention"] {
            drop(metrics.rewrites.get_or_create(&[("reason", reason)]));
        }
        for event in LeaseEvent::ALL {
            drop(metrics.leases.get_or_create(&[("event", event.name())]));
        }
        for state in STATES {
            drop(metrics.metas_synced.get_or_create(&[("state", state)]));
        }
        for resolution in ["0", "300000", "3600000"] {
            let label = [("resolution", resolution.to_owned())];
            for family in [
                &metrics.compactions,
                &metrics.compaction_failures,
                &metrics.runs_started,
                &metrics.runs_completed,
                &metrics.vertical_compactions,
                &metrics.downsamples,
                &metrics.downsample_failures,
            ] {
                drop(family.get_or_create(&label));
            }
        }
        metrics
    }

    pub(crate) fn count(family: &ByResolution, resolution_ms: i64) {
        family.get_or_create(&[("resolution", resolution_ms.to_string())]).inc();
    }

    /// Counts a mark that was written; `reason` is empty for deletion marks.
    pub(crate) fn count_mark(&self, kind: MarkKind, reason: String) {
        if kind == MarkKind::Deletion {
            self.marked_for_deletion.inc();
        }
        self.blocks_marked.get_or_create(&[("marker", kind.file().to_owned()), ("reason", reason)]).inc();
    }

    pub(crate) fn count_lease(&self, event: LeaseEvent) {
        self.leases.get_or_create(&[("event", event.name())]).inc();
    }

    /// Registers everything; `alone` says that no store in this process counts syncs.
    pub(crate) fn register(&self, metrics: &Metrics, alone: bool) {
        self.register_cleaning(metrics);
        self.register_work(metrics);
        self.register_todo(metrics);
        let help = "Requests to delete series that are in force";
        add(metrics, "tithon_compact_deletions", help, &self.deletions);
        let help = "Requests to delete series that were carried out on all blocks";
        add(metrics, "tithon_compact_deletions_done", help, &self.deletions_done);
        let help = "Blocks written anew without some series or samples, by why these go";
        add(metrics, "tithon_compact_rewrites", help, &self.rewrites);
        let help = "Attempts to take a lease, and leases lost, with --compact.lease";
        add(metrics, "tithon_compact_leases", help, &self.leases);
        if alone {
            add(metrics, "thanos_blocks_meta_syncs", "Synchronisations with the bucket", &self.syncs);
            let help = "Synchronisations with the bucket that failed";
            add(metrics, "thanos_blocks_meta_sync_failures", help, &self.sync_failures);
            let help = "Duration of synchronisations with the bucket";
            add(metrics, "thanos_blocks_meta_sync_duration_seconds", help, &self.sync_seconds);
            add(metrics, "thanos_blocks_meta_synced", "Blocks by state", &self.metas_synced);
            let help = "Blocks whose labels were changed when they were read";
            add(metrics, "thanos_blocks_meta_modified", help, &self.metas_modified);
        }
    }

    fn register_cleaning(&self, metrics: &Metrics) {
        add(metrics, "thanos_compact_halted", "1 after a fault with --compact.halt-on-error", &self.halted);
        let help = "Iterations that left something undone";
        add(metrics, "thanos_compact_retries", help, &self.retries);
        add(metrics, "thanos_compact_iterations", "Iterations that were completed", &self.iterations);
        let help = "Looks for partial uploads";
        add(metrics, "thanos_compact_block_cleanup_loops", help, &self.cleanup_loops);
        let help = "Partial uploads whose deletion was begun";
        let attempts = &self.partial_deletion_attempts;
        add(metrics, "thanos_compact_aborted_partial_uploads_deletion_attempts", help, attempts);
        add(metrics, "thanos_compact_blocks_cleaned", "Blocks deleted", &self.blocks_cleaned);
        let help = "Blocks that could not be deleted";
        add(metrics, "thanos_compact_block_cleanup_failures", help, &self.cleanup_failures);
        let help = "Deletions of marked blocks that were put off because no sound block holds their data";
        add(metrics, "tithon_compact_deletions_held_back", help, &self.deletions_held_back);
        add(metrics, "thanos_compact_blocks_marked", "Marks written", &self.blocks_marked);
        // The name that Thanos's dashboard asks for.
        let help = "Blocks marked for deletion";
        add(metrics, "thanos_compact_blocks_marked_for_deletion", help, &self.marked_for_deletion);
        let help = "Blocks marked for deletion because another holds their data";
        add(metrics, "thanos_compact_garbage_collected_blocks", help, &self.garbage_blocks);
        add(metrics, "thanos_compact_garbage_collection", "Looks for garbage", &self.garbage_runs);
        let help = "Looks for garbage that failed";
        add(metrics, "thanos_compact_garbage_collection_failures", help, &self.garbage_failures);
        let help = "How long looks for garbage took";
        add(metrics, "thanos_compact_garbage_collection_duration_seconds", help, &self.garbage_seconds);
        add(metrics, "thanos_delete_delay_seconds", "From mark to deletion", &self.delete_delay);
        let help = "How long fresh blocks are left alone";
        add(metrics, "thanos_consistency_delay_seconds", help, &self.consistency_delay);
    }

    fn register_work(&self, metrics: &Metrics) {
        add(metrics, "thanos_compact_group_compactions", "Blocks made by merging", &self.compactions);
        let help = "Merges that failed";
        add(metrics, "thanos_compact_group_compactions_failures", help, &self.compaction_failures);
        let help = "Merges, downsamplings and rewrites that are not tried again because they failed twice";
        add(metrics, "tithon_compact_plans_given_up", help, &self.plans_given_up);
        let help = "Looks at a group that were begun";
        add(metrics, "thanos_compact_group_compaction_runs_started", help, &self.runs_started);
        let help = "Looks at a group that were completed";
        add(metrics, "thanos_compact_group_compaction_runs_completed", help, &self.runs_completed);
        let help = "Blocks made by merging in groups with overlaps";
        add(metrics, "thanos_compact_group_vertical_compactions", help, &self.vertical_compactions);
        add(metrics, "thanos_compact_downsample", "Blocks that were downsampled", &self.downsamples);
        let help = "Blocks that could not be downsampled";
        add(metrics, "thanos_compact_downsample_failures", help, &self.downsample_failures);
        // The name that Thanos's dashboard asks for.
        add(metrics, "thanos_compact_downsample_failed", help, &self.downsample_failures);
        let help = "How long downsampling a block took, transfer aside";
        add(metrics, "thanos_compact_downsample_duration_seconds", help, &self.downsample_seconds);
        add(metrics, "prometheus_tsdb_compactions", "Merges that were carried out", &self.tsdb_compactions);
        let help = "How long merges took, transfer aside";
        add(metrics, "prometheus_tsdb_compaction_duration_seconds", help, &self.tsdb_seconds);
    }

    fn register_todo(&self, metrics: &Metrics) {
        add(metrics, "thanos_compact_todo_compactions", "Merges to come", &self.todo_compactions);
        let help = "Blocks that go into merges to come";
        add(metrics, "thanos_compact_todo_compaction_blocks", help, &self.todo_compaction_blocks);
        let help = "Blocks to be downsampled";
        add(metrics, "thanos_compact_todo_downsample_blocks", help, &self.todo_downsample_blocks);
        let help = "Blocks past their retention";
        add(metrics, "thanos_compact_todo_deletion_blocks", help, &self.todo_deletion_blocks);
    }
}

fn add(metrics: &Metrics, name: &str, help: &str, metric: &(impl Metric + Clone)) {
    metrics.register(|registry| registry.register(name, help, metric.clone()));
}
