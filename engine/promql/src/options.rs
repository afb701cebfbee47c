//! The options and times of a query, and the context of one evaluation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tithon_chunks::Timestamp;
use tithon_index::Matcher;

use crate::parse::ParseOptions;
use crate::remotes::Remotes;
use crate::rules::Rules;

/// Options of an engine. The default is that of a Prometheus server without feature flags.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How far an instant selector looks back for a sample, in milliseconds. A sample of exactly this age is too old.
    pub lookback_delta_ms: i64,
    /// The step of subqueries that name none, in milliseconds.
    pub default_subquery_step_ms: i64,
    /// The most samples held in memory at once; a query that exceeds it fails.
    pub max_samples: u64,
    /// The most bytes held in memory; a query that exceeds it fails. If the caller gives a [`crate::Budget`], that
    /// limits the query instead.
    pub max_bytes: u64,
    /// The parts of the language that the parser accepts.
    pub parse: ParseOptions,
    /// Whether metric names are removed at the very end (`promql-delayed-name-removal`).
    pub delayed_name_removal: bool,
    /// Whether start timestamps of samples count (`use-start-timestamps`).
    pub use_start_timestamps: bool,
    /// Whether `__type__` and `__unit__` are known to describe a series (`type-and-unit-labels`).
    pub type_and_unit_labels: bool,
    /// Labels that the source removes from series after it has matched them: replica labels, when replicas are
    /// deduplicated. The plan must not test these labels on the series it gets.
    pub dropped_labels: Vec<Box<[u8]>>,
    /// A matcher that every selector gets in place of its own matchers on that label, so that no query reads other
    /// series.
    pub enforced: Option<Matcher>,
    /// The queriers over which the query is distributed; without them it is evaluated here alone.
    pub remotes: Option<Arc<Remotes>>,
    /// The rules by which plans are rewritten.
    pub rules: Rules,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            lookback_delta_ms: 5 * 60 * 1000,
            default_subquery_step_ms: 60 * 1000,
            max_samples: 50_000_000,
            max_bytes: u64::MAX,
            parse: ParseOptions::default(),
            delayed_name_removal: false,
            use_start_timestamps: false,
            type_and_unit_labels: false,
            dropped_labels: Vec::new(),
            enforced: None,
            remotes: None,
            rules: Rules::default(),
        }
    }
}

/// The times at which a query is evaluated. An instant query has `start == end` and `step_ms == 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeParams {
    /// The first step.
    pub start: Timestamp,
    /// The end: the last step is not after it.
    pub end: Timestamp,
    /// The distance of the steps in milliseconds; 0 for an instant query.
    pub step_ms: i64,
}

impl TimeParams {
    /// An instant query at `t`.
    pub const fn instant(t: Timestamp) -> TimeParams {
        TimeParams { start: t, end: t, step_ms: 0 }
    }

    /// The number of steps: none when the end lies before the start.
    pub const fn steps(&self) -> usize {
        if self.end.0 < self.start.0 {
            return 0;
        }
        let interval = if self.step_ms < 1 { 1 } else { self.step_ms.unsigned_abs() };
        ((self.end.0.abs_diff(self.start.0) / interval) as usize).saturating_add(1)
    }

    /// Whether it is an instant query.
    pub(crate) const fn is_instant(&self) -> bool {
        self.step_ms == 0
    }
}

/// The threads of an evaluation, and the flag that cancels it.
#[derive(Clone, Copy, Debug)]
pub struct EvalContext<'a> {
    /// Threads for the work on series; without them, all work runs on the caller's thread.
    pub pool: Option<&'a rayon::ThreadPool>,
    /// The caller sets this when it no longer waits for the answer.
    pub cancelled: &'a AtomicBool,
}

impl EvalContext<'_> {
    /// Whether the caller no longer waits for the answer.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}
