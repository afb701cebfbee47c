//! Benchmarks, side by side with scalar twins: `cargo bench -p tithon-benches --bench NAME [-- --json]`.

mod report;

pub use crate::report::{Report, median_ns, medians};
