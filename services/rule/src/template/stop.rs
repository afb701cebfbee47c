//! The end of an evaluation before its time.

/// Why evaluation does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// A function failed; the place is not told yet.
    Failed(String),
    /// The template failed, with the place.
    Error(String),
    Break,
    Continue,
    /// The answer to an expression is needed first.
    Asks(String),
}
