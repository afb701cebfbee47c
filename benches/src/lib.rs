//! Benchmarks, side by side with scalar twins.

mod report;

pub use crate::report::{Report, fastest_ns};
