//! The functions of PromQL: an enum, and one table of their names and types. Upstream: `promql/parser/functions.go`.
//!
//! A new function is a line in the table and one in `functions/family.rs`, for which the compiler asks.

use std::fmt;

use crate::value_type::ValueType::{self, Matrix, Scalar, String, Vector};

/// The types of a function's arguments and of its result.
#[derive(Debug)]
pub struct Signature {
    /// The name, case-sensitive.
    pub name: &'static str,
    /// Types of the arguments; arguments beyond the list have the last type.
    pub arg_types: &'static [ValueType],
    /// How many arguments a call may have. 0: as many as there are types. n > 0: from one fewer than there
    /// are types to n - 1 more than there are types. -1: at least one fewer than there are types.
    pub variadic: i8,
    /// The type returned.
    pub return_type: ValueType,
    /// Whether the function is available only with `promql-experimental-functions`.
    pub experimental: bool,
}

/// Declares [`Func`] and its signatures, each line being: variant, name, types of arguments, variadic, type returned.
macro_rules! functions {
    ($($variant:ident $name:literal [$($arg:ident),*] $variadic:literal $returns:ident $($experimental:ident)?;)*) => {
        /// A function of PromQL.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Func {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        /// By function, in the order of the enum.
        static SIGNATURES: &[Signature] = &[$(Signature {
            name: $name,
            arg_types: &[$($arg),*],
            variadic: $variadic,
            return_type: $returns,
            experimental: functions!(@is_experimental $($experimental)?),
        },)*];

        impl Func {
            /// All functions, ascending by name.
            pub const ALL: &[Func] = &[$(Func::$variant),*];
        }
    };
    (@is_experimental experimental) => { true };
    (@is_experimental) => { false };
}

functions! {
    Abs "abs" [Vector] 0 Vector;
    Absent "absent" [Vector] 0 Vector;
    AbsentOverTime "absent_over_time" [Matrix] 0 Vector;
    Acos "acos" [Vector] 0 Vector;
    Acosh "acosh" [Vector] 0 Vector;
    Asin "asin" [Vector] 0 Vector;
    Asinh "asinh" [Vector] 0 Vector;
    Atan "atan" [Vector] 0 Vector;
    Atanh "atanh" [Vector] 0 Vector;
    AvgOverTime "avg_over_time" [Matrix] 0 Vector;
    Ceil "ceil" [Vector] 0 Vector;
    Changes "changes" [Matrix] 0 Vector;
    Clamp "clamp" [Vector, Scalar, Scalar] 0 Vector;
    ClampMax "clamp_max" [Vector, Scalar] 0 Vector;
    ClampMin "clamp_min" [Vector, Scalar] 0 Vector;
    Cos "cos" [Vector] 0 Vector;
    Cosh "cosh" [Vector] 0 Vector;
    CountOverTime "count_over_time" [Matrix] 0 Vector;
    DayOfMonth "day_of_month" [Vector] 1 Vector;
    DayOfWeek "day_of_week" [Vector] 1 Vector;
    DayOfYear "day_of_year" [Vector] 1 Vector;
    DaysInMonth "days_in_month" [Vector] 1 Vector;
    Deg "deg" [Vector] 0 Vector;
    Delta "delta" [Matrix] 0 Vector;
    Deriv "deriv" [Matrix] 0 Vector;
    DoubleExponentialSmoothing "double_exponential_smoothing" [Matrix, Scalar, Scalar] 0 Vector experimental;
    End "end" [] 0 Scalar experimental;
    Exp "exp" [Vector] 0 Vector;
    FirstOverTime "first_over_time" [Matrix] 0 Vector;
    Floor "floor" [Vector] 0 Vector;
    HistogramAvg "histogram_avg" [Vector] 0 Vector;
    HistogramCount "histogram_count" [Vector] 0 Vector;
    HistogramFraction "histogram_fraction" [Scalar, Scalar, Vector] 0 Vector;
    HistogramQuantile "histogram_quantile" [Scalar, Vector] 0 Vector;
    HistogramQuantiles "histogram_quantiles" [Vector, String, Scalar, Scalar] 9 Vector experimental;
    HistogramStddev "histogram_stddev" [Vector] 0 Vector;
    HistogramStdvar "histogram_stdvar" [Vector] 0 Vector;
    HistogramSum "histogram_sum" [Vector] 0 Vector;
    Hour "hour" [Vector] 1 Vector;
    Idelta "idelta" [Matrix] 0 Vector;
    Increase "increase" [Matrix] 0 Vector;
    Info "info" [Vector, Vector] 1 Vector experimental;
    Irate "irate" [Matrix] 0 Vector;
    LabelJoin "label_join" [Vector, String, String, String] -1 Vector;
    LabelReplace "label_replace" [Vector, String, String, String, String] 0 Vector;
    LastOverTime "last_over_time" [Matrix] 0 Vector;
    Ln "ln" [Vector] 0 Vector;
    Log10 "log10" [Vector] 0 Vector;
    Log2 "log2" [Vector] 0 Vector;
    MadOverTime "mad_over_time" [Matrix] 0 Vector experimental;
    MaxOf "max_of" [Scalar, Scalar] 0 Scalar experimental;
    MaxOverTime "max_over_time" [Matrix] 0 Vector;
    MinOf "min_of" [Scalar, Scalar] 0 Scalar experimental;
    MinOverTime "min_over_time" [Matrix] 0 Vector;
    Minute "minute" [Vector] 1 Vector;
    Month "month" [Vector] 1 Vector;
    Pi "pi" [] 0 Scalar;
    PredictLinear "predict_linear" [Matrix, Scalar] 0 Vector;
    PresentOverTime "present_over_time" [Matrix] 0 Vector;
    QuantileOverTime "quantile_over_time" [Scalar, Matrix] 0 Vector;
    Rad "rad" [Vector] 0 Vector;
    Range "range" [] 0 Scalar experimental;
    Rate "rate" [Matrix] 0 Vector;
    Resets "resets" [Matrix] 0 Vector;
    Round "round" [Vector, Scalar] 1 Vector;
    Scalar "scalar" [Vector] 0 Scalar;
    Sgn "sgn" [Vector] 0 Vector;
    Sin "sin" [Vector] 0 Vector;
    Sinh "sinh" [Vector] 0 Vector;
    Sort "sort" [Vector] 0 Vector;
    SortByLabel "sort_by_label" [Vector, String] -1 Vector experimental;
    SortByLabelDesc "sort_by_label_desc" [Vector, String] -1 Vector experimental;
    SortDesc "sort_desc" [Vector] 0 Vector;
    Sqrt "sqrt" [Vector] 0 Vector;
    Start "start" [] 0 Scalar experimental;
    StartTimestamp "start_timestamp" [Vector] 0 Vector experimental;
    StddevOverTime "stddev_over_time" [Matrix] 0 Vector;
    StdvarOverTime "stdvar_over_time" [Matrix] 0 Vector;
    Step "step" [] 0 Scalar experimental;
    SumOverTime "sum_over_time" [Matrix] 0 Vector;
    Tan "tan" [Vector] 0 Vector;
    Tanh "tanh" [Vector] 0 Vector;
    Time "time" [] 0 Scalar;
    Timestamp "timestamp" [Vector] 0 Vector;
    TsOfFirstOverTime "ts_of_first_over_time" [Matrix] 0 Vector experimental;
    TsOfLastOverTime "ts_of_last_over_time" [Matrix] 0 Vector experimental;
    TsOfMaxOverTime "ts_of_max_over_time" [Matrix] 0 Vector experimental;
    TsOfMinOverTime "ts_of_min_over_time" [Matrix] 0 Vector experimental;
    Vector "vector" [Scalar] 0 Vector;
    Year "year" [Vector] 1 Vector;
}

impl Func {
    /// The function called `name`.
    pub(crate) fn named(name: &str) -> Option<Func> {
        let i = Func::ALL.binary_search_by(|func| func.name().cmp(name)).ok()?;
        Some(Func::ALL[i])
    }

    /// The types of arguments and result.
    pub fn signature(self) -> &'static Signature {
        &SIGNATURES[self as usize]
    }

    /// The name in a query.
    pub fn name(self) -> &'static str {
        self.signature().name
    }
}

impl fmt::Display for Func {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ascend_and_find_their_functions() {
        assert!(Func::ALL.is_sorted_by(|a, b| a.name() < b.name()));
        assert!(Func::ALL.iter().all(|func| Func::named(func.name()) == Some(*func)));
        assert_eq!(Func::named("RATE"), None);
    }

    #[test]
    fn signatures_are_those_of_upstream() {
        let signature = Func::LabelJoin.signature();
        assert_eq!((signature.arg_types, signature.variadic), (&[Vector, String, String, String][..], -1));
        assert!(Func::Info.signature().experimental && !Func::Rate.signature().experimental);
        assert_eq!(Func::Scalar.signature().return_type, Scalar);
    }
}
