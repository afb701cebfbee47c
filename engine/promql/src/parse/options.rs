//! The parts of the language that a parser accepts.

/// Parts of the language that upstream has behind feature flags. The default is that of a Prometheus server without
/// feature flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseOptions {
    /// Functions and aggregations marked experimental (`promql-experimental-functions`).
    pub experimental_functions: bool,
    /// Arithmetic on durations.
    pub duration_expr: bool,
    /// `anchored` and `smoothed` (`promql-extended-range-selectors`).
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left` and `fill_right` (`promql-binop-fill-modifiers`).
    pub binop_fill: bool,
}

impl Default for ParseOptions {
    fn default() -> ParseOptions {
        ParseOptions {
            experimental_functions: false,
            duration_expr: true,
            extended_range_selectors: false,
            binop_fill: false,
        }
    }
}

impl ParseOptions {
    /// Everything enabled.
    pub const ALL: ParseOptions = ParseOptions {
        experimental_functions: true,
        duration_expr: true,
        extended_range_selectors: true,
        binop_fill: true,
    };
}
