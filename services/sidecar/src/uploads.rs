//! Uploads of the blocks of a Prometheus, which begin when its external labels are known.

use std::time::Duration;

use tithon_runtime::Shutdown;
use tithon_ship::Shipper;
use tracing::error;

use crate::{SidecarError, Watch};

/// From one look for external labels to the next, before there are any.
const LABELS_INTERVAL: Duration = Duration::from_millis(200);

/// Uploads blocks until the shutdown. Fails when `watch` has learnt no external labels after `ready_timeout`.
pub async fn ship(
    shipper: &Shipper,
    watch: &Watch,
    ready_timeout: Duration,
    shutdown: &Shutdown,
) -> Result<(), SidecarError> {
    let dir = shipper.dir();
    if !dir.join("wal").is_dir() {
        error!(dir = %dir.display(), "no wal in it: is --tsdb.path the data directory of Prometheus?");
    }
    let labels = async {
        while watch.external_labels().is_empty() {
            tokio::time::sleep(LABELS_INTERVAL).await;
        }
    };
    tokio::select! {
        waited = tokio::time::timeout(ready_timeout, labels) => {
            waited.map_err(|_| SidecarError::NeverReady(ready_timeout))?;
        }
        () = shutdown.wait() => return Ok(()),
    }
    shipper.keep(|| watch.external_labels(), shutdown).await;
    Ok(())
}
