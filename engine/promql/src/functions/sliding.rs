//! Range functions over floats alone: windows slide along the columns of a series, and values that two windows share
//! are computed only once where the result stays the same to the bit.
//!
//! Every function here has a twin in `rate.rs` or `over_time.rs` that looks at one window at a time; tests compare the two.

mod counts;
mod extremes;
mod quantiles;
mod rates;
mod slide;
mod sums;
#[cfg(test)]
mod tests;
mod variances;

use std::sync::atomic::AtomicBool;

use tithon_chunks::Samples;

use super::range_call::RangeCall;
use crate::annotations::Notes;
use crate::frame::{Column, Steps};
use crate::func::Func;
use crate::read::Windows;

use slide::Sliding;

/// The result of a function over all windows of a series.
pub(super) struct Slid {
    /// The result at each step.
    pub(super) column: Column,
    /// The samples of all windows together.
    pub(super) touched: u64,
    /// The samples of the largest window.
    pub(super) largest: u64,
}

/// Evaluates the function over the windows of a series. `None` when the function has no sliding form, or the series has
/// histograms or start timestamps, or a modifier widens the windows.
///
/// Once `cancelled` is set, the rest of the column stays empty.
pub(super) fn apply(
    call: &RangeCall,
    windows: &Windows,
    samples: &Samples,
    steps: &Steps,
    cancelled: &AtomicBool,
    notes: &mut Notes,
) -> Option<Slid> {
    let mut sliding = Sliding::new(windows, samples, steps, cancelled)?;
    let column = column(&mut sliding, call, notes)?;
    Some(Slid { column, touched: sliding.touched, largest: sliding.largest })
}

fn column(sliding: &mut Sliding<'_>, call: &RangeCall, notes: &mut Notes) -> Option<Column> {
    Some(match call.func {
        Func::Rate => rates::counter(sliding, call.range_seconds),
        Func::Increase => rates::counter(sliding, 1.0),
        Func::Delta => rates::delta(sliding),
        Func::Irate => rates::instant(sliding, true),
        Func::Idelta => rates::instant(sliding, false),
        Func::SumOverTime => sums::sum(sliding),
        Func::AvgOverTime => sums::avg(sliding),
        Func::CountOverTime => sliding.fill(|slide, _, _| Some((slide.to - slide.from) as f64)),
        Func::PresentOverTime => sliding.fill(|_, _, _| Some(1.0)),
        Func::FirstOverTime => sliding.fill(|slide, _, values| Some(values[slide.from])),
        Func::LastOverTime => sliding.fill(|slide, _, values| Some(values[slide.to - 1])),
        Func::MinOverTime => extremes::extreme(sliding, |held, v| v < held),
        Func::MaxOverTime => extremes::extreme(sliding, |held, v| v > held),
        Func::StddevOverTime => variances::variance(sliding, f64::sqrt),
        Func::StdvarOverTime => variances::variance(sliding, |v| v),
        Func::QuantileOverTime => quantiles::quantile(sliding, call, notes),
        Func::Changes => counts::pairs(sliding, |a, b| b != a && !(a.is_nan() && b.is_nan())),
        Func::Resets => counts::pairs(sliding, |a, b| b < a),
        _ => return None,
    })
}
