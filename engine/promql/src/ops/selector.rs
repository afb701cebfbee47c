//! Instant vector selectors: the newest sample not older than the lookback, at each step.
//!
//! Upstream: `vectorSelectorSingle` in `promql/engine.go`.

use std::ops::ControlFlow;

use tithon_chunks::{STALE_NAN_BITS, SampleBatch, Samples};

use crate::ast::{PosRange, VectorSelector};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Column, Row, Steps, points_of};
use crate::kernel;
use crate::read::{EvenWindows, Flow, Picker, Reach, Reference, Selection, for_each_series, smooth};

/// Hands the rows of a selector at `pos` to `sink`, those without a sample left out.
pub(crate) fn for_each(
    ctx: &Context<'_>,
    selection: Selection,
    selector: &VectorSelector,
    pos: PosRange,
    steps: &Steps,
    mut sink: impl FnMut(Row) -> Flow + Send,
) -> Result<(), QueryError> {
    let lookback = ctx.options.lookback_delta_ms;
    let reference = Reference::new(selector.at, selector.offset_ms);
    let reach = Reach::new(reference, steps, lookback, if selector.smoothed { lookback } else { 0 });
    for_each_series(
        ctx,
        selection,
        &reach,
        |labels, samples, notes| {
            let reserved = ctx.reserve(steps.len)?;
            let column = if selector.smoothed {
                smooth::instant(samples, steps, reference, lookback, labels, pos, notes)
            } else if samples.histograms.timestamps.is_empty() {
                floats(&samples.floats, steps, reference, lookback)
            } else {
                column(samples, steps, reference, lookback)
            };
            let n = column.n_points();
            ctx.held.touch(n, points_of(samples));
            drop(reserved);
            ctx.held.add(n, column.bytes())?;
            Ok(column)
        },
        |labels, column| {
            if column.is_empty() {
                Ok(ControlFlow::Continue(()))
            } else {
                sink(Row { labels, drop_name: false, column })
            }
        },
    )
}

/// The newest sample at each step, of either kind.
fn column(samples: &Samples, steps: &Steps, reference: Reference, lookback: i64) -> Column {
    let mut picker = Picker::new(samples);
    let mut column = Column::new(steps.len);
    for step in 0..steps.len {
        match picker.pick(reference.at(steps.time(step)), lookback) {
            None => {}
            Some(picked) => column.set(step, picked.sample),
        }
    }
    column
}

/// The column of a series that has floats only.
fn floats(samples: &SampleBatch, steps: &Steps, reference: Reference, lookback: i64) -> Column {
    let (times, values) = (&samples.timestamps[..], &samples.values[..]);
    let mut even = EvenWindows::new(times, reference, steps);
    let mut column = Column::new(steps.len);
    let (mut n, mut step) = (0, 0);
    while step < steps.len {
        let t = reference.at(steps.time(step));
        while n < times.len() && times[n] <= t {
            n += 1;
        }
        let is_fresh = n > 0 && times[n - 1] > t.saturating_sub(lookback);
        let (more, stride) = even.after(n, n).unwrap_or((0, 1));
        let many = (more + 1).min(steps.len - step);
        if is_fresh {
            column.set_floats(step, many, &values[n - 1..], stride);
        }
        step += many;
        n += (many - 1) * stride;
    }
    if kernel::has_bits(values, STALE_NAN_BITS) {
        column.map_floats(|_, v| (v.to_bits() != STALE_NAN_BITS).then_some(v));
    }
    column
}
