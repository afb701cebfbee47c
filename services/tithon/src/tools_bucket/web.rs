//! `tithon tools bucket web`: the page of the blocks, and its API.

use std::error::Error;
use std::time::Duration;

use tithon_compact::{Compactor, CompactorOptions};
use tithon_runtime::{Cpu, GrpcServices, RequestLog};
use tracing::warn;

use crate::bucket::open_bucket;
use crate::cli::WebFlags;
use crate::compact::{RETRY, pages};
use crate::process::Process;

/// Serves the page until a signal comes.
pub async fn run(flags: &WebFlags) -> Result<(), Box<dyn Error>> {
    let options = CompactorOptions {
        scope: flags.scope.read(&[], Duration::ZERO)?,
        // Marked blocks are shown for as long as they are there.
        delete_delay: Duration::MAX,
        ..CompactorOptions::default()
    };
    let process = Process::start_http("bucket-web", &flags.http, RequestLog::default()).await?;
    let bucket = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    process.metrics.register(|registry| bucket.register_metrics(registry));
    let (metrics, shutdown) = (process.metrics.clone(), process.shutdown.clone());
    let compactor = Compactor::new(bucket, options, Cpu::new(0)?, &metrics, shutdown.clone(), true);
    let (admin, cors) = (!flags.disable_admin_operations, !flags.disable_cors);
    let prefix = if flags.route_prefix.is_empty() { &flags.external_prefix } else { &flags.route_prefix };
    let pages = pages(compactor.clone(), &flags.label, admin, cors, prefix);
    let looks = async {
        let mut ticks = tokio::time::interval(flags.refresh.max(Duration::from_millis(1)));
        let timeout = if flags.timeout.is_zero() { Duration::MAX } else { flags.timeout };
        loop {
            ticks.tick().await;
            if tokio::time::timeout(timeout, compactor.refresh_pages()).await.is_err() {
                warn!(timeout = ?flags.timeout, "the bucket was not looked through in time");
            }
        }
    };
    let work = async {
        tokio::select! {
            () = looks => {}
            () = shutdown.wait() => {}
        }
    };
    Ok(process.serve_during(pages, GrpcServices::default(), work).await?)
}
