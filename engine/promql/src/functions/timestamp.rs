//! `timestamp` and `start_timestamp`.

use std::ops::ControlFlow;

use crate::ast::{Call, NodeKind};
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::frame::{Column, Frame, Row, Steps, without_metadata};
use crate::ops::decode::for_each_series;
use crate::ops::merge;
use crate::ops::reach::Reach;
use crate::ops::selector::{Picker, Reference};

/// Evaluates one of the two. Directly on a selector they see the samples' own times, else the step's.
pub(super) fn eval(ev: &Evaluator<'_>, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
    let of_start = call.func.name == "start_timestamp";
    let id = ev.unparen(call.args[0]);
    let mut frame = Frame::default();
    if let NodeKind::Vector(s) = ev.kind(id) {
        let reference = Reference::new(s.at, s.offset_ms).without_offset_if_fixed();
        let lookback = ev.options().lookback_delta_ms;
        let nothing = of_start && !ev.options().use_start_timestamps;
        for_each_series(
            ev,
            id,
            &Reach::new(reference, steps, lookback, 0),
            |_, samples, _| {
                let _reserved = ev.reserve(steps.len)?;
                let mut picker = Picker::new(samples);
                let mut column = Column::new(steps.len);
                for step in 0..steps.len {
                    if let Some(picked) = picker.pick(reference.at(steps.time(step)), lookback) {
                        let t = if of_start { picked.start } else { picked.t };
                        column.set_float(step, t as f64 / 1000.0);
                    }
                }
                ev.budget.add(column.n_points(), column.bytes())?;
                Ok(column)
            },
            |labels, column| {
                if !nothing && !column.is_empty() {
                    frame.rows.push(Row { labels, drop_name: true, column });
                }
                Ok(ControlFlow::Continue(()))
            },
        )?;
    } else {
        frame = ev.frame(call.args[0], steps)?;
        if of_start {
            frame.rows.clear();
        }
        for row in &mut frame.rows {
            let mut column = Column::new(steps.len);
            for step in (0..steps.len).filter(|step| row.column.get(*step).is_some()) {
                column.set_float(step, steps.time(step) as f64 / 1000.0);
            }
            (row.column, row.drop_name) = (column, true);
        }
    }
    if !ev.options().delayed_name_removal {
        frame.rows.iter_mut().for_each(|row| row.labels = without_metadata(&row.labels));
    }
    merge::equal_labels(frame)
}
