//! The flags that a Prometheus must have when its blocks are uploaded. Thanos `cmd/thanos/sidecar.go`,
//! `validatePrometheus`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tracing::warn;

use crate::{Prometheus, PrometheusError, SidecarError};

/// The flags of a server by name.
pub(crate) type Flags = BTreeMap<String, String>;

/// The expected flags.
#[derive(Clone, Debug)]
pub struct FlagRules {
    /// Path of `thanos.shipper.json`, which lists the uploaded blocks: Prometheus may wait for it before it compacts.
    pub state_file: PathBuf,
    /// Accepts that Prometheus compacts blocks, although a block may be lost when its upload is late.
    pub ignore_unequal_block_size: bool,
}

impl FlagRules {
    /// The flags of the server; `None` if it does not have that API.
    pub(crate) async fn ask(prometheus: &Prometheus) -> Result<Option<Flags>, PrometheusError> {
        match prometheus.call::<Flags>(&["status", "flags"], &[]).await {
            Err(PrometheusError::Status { status: 404, .. }) => Ok(None),
            answer => Ok(Some(answer?.data)),
        }
    }

    /// Fails for flags with which blocks could be lost. With `tells_warnings`, warns of unusual flags.
    pub(crate) fn check(&self, flags: Option<&Flags>, tells_warnings: bool) -> Result<(), SidecarError> {
        let warn = |text: &str| {
            if tells_warnings {
                warn!("{text}");
            }
        };
        let Some(flags) = flags else {
            warn("Prometheus does not report its flags, they are not checked");
            return Ok(());
        };
        let flag = |name: &str| flags.get(name).map_or("", String::as_str);
        let delay = flag("storage.tsdb.delay-compact-file.path");
        if !delay.is_empty() && clean(Path::new(delay)) != clean(&self.state_file) {
            return Err(SidecarError::Flags(format!(
                "Prometheus and this sidecar use different files for tracking block uploads: Prometheus has \
                 --storage.tsdb.delay-compact-file.path={delay}, this sidecar writes {}; they must be the same",
                self.state_file.display()
            )));
        }
        let (min, max) = (flag("storage.tsdb.min-block-duration"), flag("storage.tsdb.max-block-duration"));
        if min != max && delay.is_empty() {
            if !self.ignore_unequal_block_size {
                return Err(SidecarError::Flags(format!(
                    "Prometheus compacts its blocks (min-block-duration {min}, max-block-duration {max}): start it with \
                     --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=2h"
                )));
            }
            warn("Prometheus compacts its blocks: one whose upload is late may be missing in the bucket");
        }
        if min != "2h" {
            warn("blocks of Prometheus are not two hours long, which is not recommended");
        }
        Ok(())
    }
}

/// Resolves `.` and `..` in a path without reading the file system.
fn clean(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if out.file_name().is_some() => _ = out.pop(),
            part => out.push(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_would_lose_blocks_are_refused() {
        let flags = |pairs: &[(&str, &str)]| -> Flags {
            pairs.iter().map(|(name, value)| (format!("storage.tsdb.{name}"), (*value).to_owned())).collect()
        };
        let rules =
            FlagRules { state_file: "./data/thanos.shipper.json".into(), ignore_unequal_block_size: false };
        let check = |rules: &FlagRules, pairs: &[(&str, &str)]| rules.check(Some(&flags(pairs)), true);
        let equal = [("min-block-duration", "2h"), ("max-block-duration", "2h")];
        let unequal = [("min-block-duration", "2h"), ("max-block-duration", "1d")];
        assert!(check(&rules, &equal).is_ok());
        let error = check(&rules, &unequal).unwrap_err().to_string();
        assert!(error.contains("--storage.tsdb.max-block-duration=2h"), "{error}");
        let lenient = FlagRules { ignore_unequal_block_size: true, ..rules.clone() };
        assert!(check(&lenient, &unequal).is_ok());
        let delayed = |path| [unequal[0], unequal[1], ("delay-compact-file.path", path)];
        assert!(check(&rules, &delayed("data/x/../thanos.shipper.json")).is_ok());
        assert!(
            check(&rules, &delayed("/elsewhere.json")).unwrap_err().to_string().contains("/elsewhere.json")
        );
        assert!(rules.check(None, true).is_ok());
    }
}
