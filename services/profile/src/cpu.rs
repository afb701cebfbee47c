//! CPU profiles: a signal samples the stack once per hundredth of a second of CPU time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pprof::{ProfilerGuardBuilder, Report};

use crate::ProfileError;
use crate::message::{Builder, Frame};

/// Samples per second of CPU time.
const HERTZ: i32 = 100;
/// Libraries in which no stack is sampled: they may hold locks that sampling needs.
const LEFT_OUT: [&str; 4] = ["libc", "libgcc", "pthread", "vdso"];

static TAKEN: AtomicBool = AtomicBool::new(false);

/// A guard: only one profile runs at a time.
struct Taking;

impl Taking {
    fn begin() -> Result<Taking, ProfileError> {
        match TAKEN.swap(true, Ordering::AcqRel) {
            true => Err(ProfileError::Busy),
            false => Ok(Taking),
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}

/// Takes a profile for `duration`. Returns it in pprof's format.
pub(crate) async fn profile(duration: Duration) -> Result<Vec<u8>, ProfileError> {
    let taking = Taking::begin()?;
    let guard = ProfilerGuardBuilder::default().frequency(HERTZ).blocklist(&LEFT_OUT).build()?;
    tokio::time::sleep(duration).await;
    // Looking up function names reads the debug information of the whole program, so it runs on a blocking thread.
    let build = move || {
        let report = guard.report().build()?;
        drop(guard);
        drop(taking);
        Ok(encode(&report, duration)?)
    };
    tokio::task::spawn_blocking(build).await?
}

fn encode(report: &Report, duration: Duration) -> std::io::Result<Vec<u8>> {
    let period = 1_000_000_000 / i64::from(HERTZ);
    let mut builder = Builder::new(&[("samples", "count"), ("cpu", "nanoseconds")], duration);
    builder.period("cpu", "nanoseconds", period);
    for (stack, count) in &report.data {
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        let places = stack.frames.iter().map(|symbols| {
            let address =
                symbols.first().and_then(|symbol| symbol.addr).map_or(0, |address| address as usize);
            let frames = symbols
                .iter()
                .map(|symbol| Frame::new(symbol.name(), symbol.filename().into_owned(), symbol.lineno()));
            (address, frames.collect())
        });
        builder.sample(places, vec![count, count.saturating_mul(period)]);
    }
    builder.finish()
}
