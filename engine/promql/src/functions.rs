//! Function calls: which function takes what, and how its results become series.

mod absent;
mod classic;
mod extended;
mod histogram;
mod info;
mod labels;
mod native;
mod over_time;
mod per_sample;
mod range_call;
mod rate;
mod regression;
pub(crate) mod scalar;
mod sliding;
mod sort;
mod starts;
pub(crate) mod time;
mod timestamp;

use crate::ast::{Call, NodeId, ValueType};
use crate::error::QueryError;
use crate::eval::{Evaluator, Output};
use crate::frame::Steps;

pub(crate) use labels::is_label_name;
pub(crate) use over_time::HistogramMean;
pub(crate) use range_call::{for_each, is_over_selector};

/// Evaluates a call.
pub(crate) fn eval(ev: &Evaluator<'_>, id: NodeId, call: &Call, steps: &Steps) -> Result<Output, QueryError> {
    // For those who make numbers out of nothing.
    let _reserved = ev.reserve(steps.len)?;
    let frame = match call.func.name {
        "pi" | "time" | "scalar" | "max_of" | "min_of" => {
            return Ok(Output::Scalar(scalar::eval(ev, call, steps)?));
        }
        "vector" => scalar::vector(&ev.scalar(call.args[0], steps)?),
        "label_replace" => labels::replace(ev, call, steps)?,
        "label_join" => labels::join(ev, call, steps)?,
        "info" => info::eval(ev, id, call, steps)?,
        "absent" => absent::eval(ev, call, steps)?,
        "absent_over_time" => absent::over_time(ev, call, steps)?,
        "timestamp" | "start_timestamp" => timestamp::eval(ev, call, steps)?,
        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => sort::eval(ev, id, call, steps)?,
        "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
            histogram::eval(ev, call, steps)?
        }
        _ if call.args.iter().any(|arg| ev.ty(*arg) == ValueType::Matrix) => {
            range_call::eval(ev, call, steps)?
        }
        _ => per_sample::eval(ev, call, steps)?,
    };
    Ok(Output::Frame(frame))
}
