//! FILESYSTEM: a bucket in a directory. thanos-io/objstore `providers/filesystem/filesystem.go`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::ConfigError;
use crate::config::require;

/// The keys of a FILESYSTEM bucket; others are ignored, as in Thanos.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FilesystemConfig {
    /// Root directory of the bucket.
    pub directory: PathBuf,
}

impl FilesystemConfig {
    pub(super) fn check(self) -> Result<FilesystemConfig, ConfigError> {
        require("FILESYSTEM", &[("config.directory", self.directory.as_os_str().is_empty())])?;
        Ok(self)
    }
}
