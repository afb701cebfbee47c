//! Which code serves which function.

use std::f64::consts::PI;

use tithon_chunks::FloatHistogram;

use super::elementary::{deg, rad, sgn};
use super::native;
use super::sort::Order;
use crate::date::Date;
use crate::func::Func;
use crate::math;

/// The code that serves a function. Functions that differ in one computation only share a variant that carries it.
pub(crate) enum Family {
    /// A function of each float of a vector.
    EachFloat(fn(f64) -> f64),
    /// A function of each native histogram of a vector.
    EachHistogram(fn(&FloatHistogram) -> f64),
    /// A part of the date that each float of a vector is.
    DatePart(fn(&Date) -> f64),
    /// A function of two scalars.
    TwoScalars(fn(f64, f64) -> f64),
    /// The same number at every step.
    Constant(f64),
    /// A function of the samples in each window of a range vector.
    OverRange,
    /// Planning has replaced the call by a number.
    Resolved,
    Time,
    Scalar,
    Vector,
    Clamp,
    ClampMin,
    ClampMax,
    Round,
    LabelReplace,
    LabelJoin,
    Info,
    Absent,
    AbsentOverTime,
    Timestamp {
        of_start: bool,
    },
    Sort(Order),
    SortByLabel(Order),
    Quantile,
    Quantiles,
    Fraction,
}

impl Family {
    /// The family of a function.
    pub(crate) fn of(func: Func) -> Family {
        use Family::{DatePart, EachFloat, EachHistogram, OverRange};
        match func {
            Func::Abs => EachFloat(f64::abs),
            Func::Absent => Family::Absent,
            Func::AbsentOverTime => Family::AbsentOverTime,
            Func::Acos => EachFloat(math::acos),
            Func::Acosh => EachFloat(math::acosh),
            Func::Asin => EachFloat(math::asin),
            Func::Asinh => EachFloat(math::asinh),
            Func::Atan => EachFloat(math::atan),
            Func::Atanh => EachFloat(math::atanh),
            Func::AvgOverTime => OverRange,
            Func::Ceil => EachFloat(f64::ceil),
            Func::Changes => OverRange,
            Func::Clamp => Family::Clamp,
            Func::ClampMax => Family::ClampMax,
            Func::ClampMin => Family::ClampMin,
            Func::Cos => EachFloat(math::cos),
            Func::Cosh => EachFloat(math::cosh),
            Func::CountOverTime => OverRange,
            Func::DayOfMonth => DatePart(|date| date.day as f64),
            Func::DayOfWeek => DatePart(|date| date.weekday as f64),
            Func::DayOfYear => DatePart(|date| date.day_of_year() as f64),
            Func::DaysInMonth => DatePart(|date| date.days_in_month() as f64),
            Func::Deg => EachFloat(deg),
            Func::Delta => OverRange,
            Func::Deriv => OverRange,
            Func::DoubleExponentialSmoothing => OverRange,
            Func::End => Family::Resolved,
            Func::Exp => EachFloat(math::exp),
            Func::FirstOverTime => OverRange,
            Func::Floor => EachFloat(f64::floor),
            Func::HistogramAvg => EachHistogram(|h| h.sum / h.count),
            Func::HistogramCount => EachHistogram(|h| h.count),
            Func::HistogramFraction => Family::Fraction,
            Func::HistogramQuantile => Family::Quantile,
            Func::HistogramQuantiles => Family::Quantiles,
            Func::HistogramStddev => EachHistogram(|h| native::variance(h).sqrt()),
            Func::HistogramStdvar => EachHistogram(native::variance),
            Func::HistogramSum => EachHistogram(|h| h.sum),
            Func::Hour => DatePart(|date| date.hour as f64),
            Func::Idelta => OverRange,
            Func::Increase => OverRange,
            Func::Info => Family::Info,
            Func::Irate => OverRange,
            Func::LabelJoin => Family::LabelJoin,
            Func::LabelReplace => Family::LabelReplace,
            Func::LastOverTime => OverRange,
            Func::Ln => EachFloat(math::ln),
            Func::Log10 => EachFloat(math::log10),
            Func::Log2 => EachFloat(math::log2),
            Func::MadOverTime => OverRange,
            Func::MaxOf => Family::TwoScalars(math::max),
            Func::MaxOverTime => OverRange,
            Func::MinOf => Family::TwoScalars(math::min),
            Func::MinOverTime => OverRange,
            Func::Minute => DatePart(|date| date.minute as f64),
            Func::Month => DatePart(|date| date.month as f64),
            Func::Pi => Family::Constant(PI),
            Func::PredictLinear => OverRange,
            Func::PresentOverTime => OverRange,
            Func::QuantileOverTime => OverRange,
            Func::Rad => EachFloat(rad),
            Func::Range => Family::Resolved,
            Func::Rate => OverRange,
            Func::Resets => OverRange,
            Func::Round => Family::Round,
            Func::Scalar => Family::Scalar,
            Func::Sgn => EachFloat(sgn),
            Func::Sin => EachFloat(math::sin),
            Func::Sinh => EachFloat(math::sinh),
            Func::Sort => Family::Sort(Order::Ascending),
            Func::SortByLabel => Family::SortByLabel(Order::Ascending),
            Func::SortByLabelDesc => Family::SortByLabel(Order::Descending),
            Func::SortDesc => Family::Sort(Order::Descending),
            Func::Sqrt => EachFloat(f64::sqrt),
            Func::Start => Family::Resolved,
            Func::StartTimestamp => Family::Timestamp { of_start: true },
            Func::StddevOverTime => OverRange,
            Func::StdvarOverTime => OverRange,
            Func::Step => Family::Resolved,
            Func::SumOverTime => OverRange,
            Func::Tan => EachFloat(math::tan),
            Func::Tanh => EachFloat(math::tanh),
            Func::Time => Family::Time,
            Func::Timestamp => Family::Timestamp { of_start: false },
            Func::TsOfFirstOverTime => OverRange,
            Func::TsOfLastOverTime => OverRange,
            Func::TsOfMaxOverTime => OverRange,
            Func::TsOfMinOverTime => OverRange,
            Func::Vector => Family::Vector,
            Func::Year => DatePart(|date| date.year as f64),
        }
    }
}
