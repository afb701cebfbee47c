//! How far a server has the queue.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::RemoteError;

/// A place between two records of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Position {
    /// The number of the segment.
    pub(super) segment: u64,
    /// Bytes from its beginning.
    pub(super) offset: u64,
}

impl Position {
    /// The position that a file holds; the beginning of the queue without a file, or with one that cannot be read: then samples
    /// are sent again, which servers bear.
    pub(super) fn load(path: &Path) -> Position {
        let text = std::fs::read(path).ok();
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    }

    /// Replaces the file.
    pub(super) fn save(self, path: &Path) -> Result<(), RemoteError> {
        let failed = |source| RemoteError::Disk { path: path.to_owned(), source };
        let beside = path.with_extension("tmp");
        let text = serde_json::json!({ "segment": self.segment, "offset": self.offset }).to_string();
        std::fs::write(&beside, text).map_err(failed)?;
        std::fs::rename(&beside, path).map_err(failed)
    }
}
