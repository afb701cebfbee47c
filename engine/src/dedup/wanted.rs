//! The aggregate of a downsampled chunk that a function reads.

/// The part of downsampled chunks to read. Raw chunks are read as they are, except for [`Wanted::Counter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Number of raw samples.
    Count,
    /// Their sum.
    Sum,
    /// The smallest sample.
    Min,
    /// The largest sample.
    Max,
    /// The counter with its resets removed; from raw chunks, too.
    Counter,
    /// Sum divided by count.
    Average,
}

impl Wanted {
    /// The part that the function or aggregation around a selector reads; unknown functions read averages. Thanos
    /// `pkg/query/querier.go`, `aggrsFromFunc`.
    pub fn by(function: &str) -> Wanted {
        match function {
            f if f == "min" || f.starts_with("min_") => Wanted::Min,
            f if f == "max" || f.starts_with("max_") => Wanted::Max,
            f if f == "count" || f.starts_with("count_") => Wanted::Count,
            f if f.starts_with("sum_") => Wanted::Sum,
            "increase" | "rate" | "irate" | "resets" | "xrate" | "xincrease" => Wanted::Counter,
            _ => Wanted::Average,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_function() {
        for (function, wanted) in [
            ("min", Wanted::Min),
            ("min_over_time", Wanted::Min),
            ("max_over_time", Wanted::Max),
            ("count_values", Wanted::Count),
            ("sum_over_time", Wanted::Sum),
            ("sum", Wanted::Average),
            ("rate", Wanted::Counter),
            ("resets", Wanted::Counter),
            ("delta", Wanted::Average),
            ("", Wanted::Average),
        ] {
            assert_eq!(Wanted::by(function), wanted, "{function}");
        }
    }
}
