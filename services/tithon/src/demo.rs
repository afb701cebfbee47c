//! Demo data: two days of realistic series in two-hour blocks, up to now.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tithon_engine::BlockError;
use tithon_synthetic::{DEMO_INTERVAL_MS, Replica, Scrapes, Stream, demo_series, write_blocks};
use tracing::info;

const BLOCK_MS: i64 = 2 * 3_600_000;

/// Fills `bucket`, an existing folder, with blocks of the last `hours` until `now` (milliseconds since 1970).
pub fn fill(bucket: &Path, now: i64, hours: u32) -> Result<(), BlockError> {
    let series = demo_series();
    let start = (now - i64::from(hours) * 3_600_000).div_euclid(BLOCK_MS) * BLOCK_MS;
    let bar = progress(series.len());
    info!(series = series.len(), hours, "filling the empty bucket with demo data");
    for replica in [Replica::A, Replica::B] {
        let scrapes = Scrapes { start, end: now + 1, interval_ms: DEMO_INTERVAL_MS, replica };
        let stream = Stream { scrapes, block_ms: BLOCK_MS, cluster: "demo", seed: 0 };
        let shown = |written| bar.inc(if replica == Replica::A { written } else { 0 });
        write_blocks(bucket, &series, &stream, &shown)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Prints to standard error which pages there are at an address.
pub fn show_the_way(address: &str) {
    let url = format!("http://{address}");
    let text = format!(
        "\nTwo days of made-up data are served at {url}\n\
         \n  A graph          {url}/graph?g0.expr=sum%20by%20(job)%20(up)\
         \n  The blocks       {url}/blocks\
         \n  From a terminal  curl '{url}/api/v1/query?query=count(up)'\n\n"
    );
    // Nothing can be done if standard error is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// A progress bar on a terminal, and nothing elsewhere, since the log has the start and the end.
fn progress(n_series: usize) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(n_series as u64), target);
    if let Ok(style) = ProgressStyle::with_template("demo data {bar:40} {pos}/{len} series, {eta} left") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
