//! Marker files beside a block. Thanos `pkg/block/metadata/markers.go`.

use serde::{Deserialize, Serialize};
use tithon_engine::{BlockId, go_json};

use crate::bucket::key;
use crate::{Bucket, BucketError};

/// The three markers a block may have.
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
    /// All of them.
    pub const ALL: [MarkKind; 3] = [MarkKind::Deletion, MarkKind::NoCompact, MarkKind::NoDownsample];

    /// Where it is in [`MarkKind::ALL`].
    pub(crate) const fn place(self) -> usize {
        self as usize
    }

    /// The file's name.
    pub const fn file(self) -> &'static str {
        match self {
            MarkKind::Deletion => "deletion-mark.json",
            MarkKind::NoCompact => "no-compact-mark.json",
            MarkKind::NoDownsample => "no-downsample-mark.json",
        }
    }
}

/// A marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which one.
    pub kind: MarkKind,
    /// The block it is for.
    pub block: BlockId,
    /// Why, for people.
    pub details: String,
    /// When the block was marked, seconds since the Unix epoch.
    pub time_s: i64,
    /// Why, for programs; deletion marks have none.
    pub reason: String,
    /// Of a deletion mark: the blocks that hold the data now, where that is why. Thanos neither writes nor reads it.
    pub replaced_by: Vec<BlockId>,
}

/// A block that is to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletionMark {
    /// Why, for people.
    pub details: String,
    /// When it was marked, seconds since the Unix epoch.
    pub deletion_time: i64,
}

/// The files' content, all three kinds in one, whatever its version.
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
    /// The file's bytes as Thanos writes them.
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
    /// The mark; a file that lacks its time or names another block counts as absent, with a warning.
    pub(crate) fn mark(&self, block: BlockId, kind: MarkKind) -> Result<Option<Mark>, BucketError> {
        self.check_version(block, kind)?;
        let time = match kind {
            MarkKind::Deletion => self.deletion_time,
            MarkKind::NoCompact => self.no_compact_time,
            MarkKind::NoDownsample => self.no_downsample_time,
        };
        if self.id.parse() != Ok(block) {
            let (id, file) = (&self.id, kind.file());
            tracing::warn!(block = %block, file, id, "mark is for another block, taken for absent");
            return Ok(None);
        }
        let Some(time_s) = time else {
            tracing::warn!(block = %block, file = kind.file(), "mark has no time, taken for absent");
            return Ok(None);
        };
        let reason = self.reason.clone().unwrap_or_default();
        let replaced_by = self.replaced_by.iter().filter_map(|id| id.parse().ok()).collect();
        Ok(Some(Mark { kind, block, details: self.details.clone(), time_s, reason, replaced_by }))
    }

    /// The file as a deletion mark of the block that it lies in.
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
    /// The deletion mark of a block, if it has one. A mark that is not JSON, such as a broken upload leaves behind,
    /// counts as absent; a version other than 1 is an error.
    pub async fn deletion_mark(&self, block: BlockId) -> Result<Option<DeletionMark>, BucketError> {
        let file = self.mark_file(block, MarkKind::Deletion).await?;
        file.map(|file| file.deletion_mark(block)).transpose()
    }

    /// A mark of a block, if it has it. One that is not JSON, lacks its time, or names another block counts as absent,
    /// with a warning; a version other than 1 is an error.
    pub async fn mark(&self, block: BlockId, kind: MarkKind) -> Result<Option<Mark>, BucketError> {
        match self.mark_file(block, kind).await? {
            Some(file) => file.mark(block, kind),
            None => Ok(None),
        }
    }

    /// Writes a mark. One that is there already stays as it is, so that the first time counts; answers whether it was
    /// written.
    pub async fn put_mark(&self, mark: &Mark) -> Result<bool, BucketError> {
        if self.mark(mark.block, mark.kind).await?.is_some() {
            return Ok(false);
        }
        let path = key(mark.block, mark.kind.file());
        self.put(&path, mark.to_json().into()).await?;
        Ok(true)
    }

    /// Takes a mark away, whatever is in its file; answers whether it was there.
    pub async fn remove_mark(&self, block: BlockId, kind: MarkKind) -> Result<bool, BucketError> {
        let path = key(block, kind.file());
        let was_there = self.exists(&path).await?;
        if was_there {
            self.delete(&path).await?;
        }
        Ok(was_there)
    }

    /// Whether the bucket has a block of this id, which is so once its meta.json is there.
    pub async fn has_block(&self, block: BlockId) -> Result<bool, BucketError> {
        self.exists(&key(block, "meta.json")).await
    }

    /// The file of a mark; one that is not JSON counts as absent, with a warning.
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
                tracing::warn!(block = %block, file, error = %error, "mark cannot be read, taken for absent");
                Ok(None)
            }
        }
    }
}
