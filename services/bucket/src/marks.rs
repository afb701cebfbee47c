//! Marks: marker files in a block's folder. Thanos `pkg/block/metadata/markers.go`.

use serde::{Deserialize, Serialize};
use tithon_engine::{BlockId, go_json};

use crate::bucket::key;
use crate::{Bucket, BucketError};

/// The kinds of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MarkKind {
    /// The block is to be deleted.
    Deletion,
    /// The block is not to be merged with others.
    NoCompact,
    /// The block is not to be downsampled.
    NoDownsample,
}

impl MarkKind {
    /// All kinds of marks.
    pub const ALL: [MarkKind; 3] = [MarkKind::Deletion, MarkKind::NoCompact, MarkKind::NoDownsample];

    /// Its index in [`MarkKind::ALL`].
    pub(crate) const fn place(self) -> usize {
        self as usize
    }

    /// The name of the mark's file.
    pub const fn file(self) -> &'static str {
        match self {
            MarkKind::Deletion => "deletion-mark.json",
            MarkKind::NoCompact => "no-compact-mark.json",
            MarkKind::NoDownsample => "no-downsample-mark.json",
        }
    }
}

/// A mark of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The kind of the mark.
    pub kind: MarkKind,
    /// The marked block.
    pub block: BlockId,
    /// The reason, as a text for people.
    pub details: String,
    /// Time of the mark in seconds since 1970.
    pub time_s: i64,
    /// The reason, as a code for programs; empty for deletion marks.
    pub reason: String,
    /// For a deletion mark: the blocks that now hold the data, if that is why. Thanos neither writes nor reads it.
    pub replaced_by: Vec<BlockId>,
}

/// A deletion mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionMark {
    /// The reason, as a text for people.
    pub details: String,
    /// Time of the mark in seconds since 1970.
    pub deletion_time: i64,
}

/// Content of a mark's file: the fields of all three kinds, in any version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MarkFile {
    #[serde(default)]
    id: String,
    version: i64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    details: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deletion_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_compact_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    no_downsample_time: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    replaced_by: Vec<String>,
}

/// The fields of [`MarkFile`].
const FIELDS: &[&str] = &[
    "id",
    "version",
    "details",
    "deletion_time",
    "no_compact_time",
    "no_downsample_time",
    "reason",
    "replaced_by",
];

impl Mark {
    /// The content of the mark's file, as Thanos writes it.
    pub fn to_json(&self) -> Vec<u8> {
        let time = |kind| (self.kind == kind).then_some(self.time_s);
        let content = MarkFile {
            id: self.block.to_string(),
            version: 1,
            details: self.details.clone(),
            deletion_time: time(MarkKind::Deletion),
            no_compact_time: time(MarkKind::NoCompact),
            no_downsample_time: time(MarkKind::NoDownsample),
            reason: (self.kind != MarkKind::Deletion).then(|| self.reason.clone()),
            replaced_by: self.replaced_by.iter().map(BlockId::to_string).collect(),
        };
        serde_json::to_vec(&content).expect("strings and numbers always serialise")
    }
}

impl MarkFile {
    /// The mark. A file without a time, or for another block, counts as missing, with a warning.
    pub(crate) fn mark(&self, block: BlockId, kind: MarkKind) -> Result<Option<Mark>, BucketError> {
        self.check_version(block, kind)?;
        let time = match kind {
            MarkKind::Deletion => self.deletion_time,
            MarkKind::NoCompact => self.no_compact_time,
            MarkKind::NoDownsample => self.no_downsample_time,
        };
        if self.id.parse() != Ok(block) {
            let (id, file) = (&self.id, kind.file());
            tracing::warn!(block = %block, file, id, "mark names another block and is ignored");
            return Ok(None);
        }
        let Some(time_s) = time else {
            tracing::warn!(block = %block, file = kind.file(), "mark has no time and is ignored");
            return Ok(None);
        };
        let reason = self.reason.clone().unwrap_or_default();
        let replaced_by = self.replaced_by.iter().filter_map(|id| id.parse().ok()).collect();
        Ok(Some(Mark { kind, block, details: self.details.clone(), time_s, reason, replaced_by }))
    }

    /// The deletion mark, without a check of the block's id.
    pub(crate) fn deletion_mark(&self, block: BlockId) -> Result<DeletionMark, BucketError> {
        self.check_version(block, MarkKind::Deletion)?;
        let deletion_time = self.deletion_time.unwrap_or_default();
        Ok(DeletionMark { details: self.details.clone(), deletion_time })
    }

    fn check_version(&self, block: BlockId, kind: MarkKind) -> Result<(), BucketError> {
        if self.version != 1 {
            let path = key(block, kind.file()).to_string();
            return Err(BucketError::MarkVersion { path, found: self.version });
        }
        Ok(())
    }
}

impl Bucket {
    /// The deletion mark of a block; `None` if it has none. A mark that is not JSON, which a broken upload may leave,
    /// counts as missing.
    ///
    /// Fails when the mark's version is not 1 or it cannot be read.
    pub async fn deletion_mark(&self, block: BlockId) -> Result<Option<DeletionMark>, BucketError> {
        let file = self.mark_file(block, MarkKind::Deletion).await?;
        file.map(|file| file.deletion_mark(block)).transpose()
    }

    /// A mark of a block; `None` if it has none. A mark that is not JSON, has no time or is for another block counts as
    /// missing, with a warning.
    ///
    /// Fails when the mark's version is not 1 or it cannot be read.
    pub async fn mark(&self, block: BlockId, kind: MarkKind) -> Result<Option<Mark>, BucketError> {
        match self.mark_file(block, kind).await? {
            Some(file) => file.mark(block, kind),
            None => Ok(None),
        }
    }

    /// Writes a mark. An existing mark of the kind stays, so that the first time counts. Returns whether the mark was
    /// written.
    pub async fn put_mark(&self, mark: &Mark) -> Result<bool, BucketError> {
        if self.mark(mark.block, mark.kind).await?.is_some() {
            return Ok(false);
        }
        let path = key(mark.block, mark.kind.file());
        self.put(&path, mark.to_json().into()).await?;
        Ok(true)
    }

    /// Deletes a mark, whatever its content. Returns whether it existed.
    pub async fn remove_mark(&self, block: BlockId, kind: MarkKind) -> Result<bool, BucketError> {
        let path = key(block, kind.file());
        let was_there = self.exists(&path).await?;
        if was_there {
            self.delete(&path).await?;
        }
        Ok(was_there)
    }

    /// Whether the block has a meta.json, without which it does not exist for readers.
    pub async fn has_block(&self, block: BlockId) -> Result<bool, BucketError> {
        self.exists(&key(block, "meta.json")).await
    }

    /// Reads the file of a mark; a file that is not JSON counts as missing, with a warning.
    pub(crate) async fn mark_file(
        &self,
        block: BlockId,
        kind: MarkKind,
    ) -> Result<Option<MarkFile>, BucketError> {
        let path = key(block, kind.file());
        let Some(bytes) = self.get(&path).await? else { return Ok(None) };
        match go_json::from_slice(&bytes, FIELDS, &[]) {
            Ok(file) => Ok(Some(file)),
            Err(error) => {
                let file = kind.file();
                tracing::warn!(block = %block, file, error = %error, "mark cannot be read and is ignored");
                Ok(None)
            }
        }
    }
}
