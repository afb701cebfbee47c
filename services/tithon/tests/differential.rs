//! Our blocks and answers against the real programs: Debian's Prometheus and promtool, and recorded answers.
//!
//! Slow, so they run where `TITHON_DIFFERENTIAL` is set, as in CI; elsewhere each says that it was skipped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "a test has no public items; pub says what a module offers")]

#[path = "differential/process.rs"]
#[allow(dead_code, reason = "other tests share it")]
mod process;

#[path = "differential/compaction.rs"]
mod compaction;
#[path = "differential/demo.rs"]
mod demo;
#[path = "differential/fuzz.rs"]
mod fuzz;
#[path = "differential/merged.rs"]
mod merged;
#[path = "differential/openmetrics.rs"]
mod openmetrics;
#[path = "differential/postings.rs"]
mod postings;
#[path = "differential/replay.rs"]
mod replay;

/// Whether the differential tests are to run.
fn enabled() -> bool {
    let on = std::env::var_os("TITHON_DIFFERENTIAL").is_some();
    if !on {
        eprintln!("skipped: TITHON_DIFFERENTIAL is not set");
    }
    on
}
