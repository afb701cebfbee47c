//! The `thanos` section of meta.json. Thanos `pkg/block/metadata/meta.go`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tithon_chunks::calendar::parse_rfc3339;
use tithon_index::Labels;

use super::{is_zero, null_is_default};
use crate::BlockId;

/// The section that Thanos adds to meta.json.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThanosMeta {
    /// 0 (absent) or 1.
    #[serde(skip_serializing_if = "is_zero_i64")]
    pub version: i64,
    /// The external labels, by name.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// The resolution.
    pub downsample: Downsample,
    /// The program that made the block.
    pub source: SourceType,
    /// Base names in `chunks/`, ascending.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub segment_files: Vec<String>,
    /// The block's files, ascending by path.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub files: Vec<File>,
    /// Rewrites that were applied, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub rewrites: Vec<Rewrite>,
    /// Sizes by which a reader estimates how much to fetch.
    pub index_stats: IndexStats,
    /// Any JSON that a user attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extensions: Option<serde_json::Value>,
    /// When the upload ended.
    pub upload_time: UploadTime,
}

impl ThanosMeta {
    /// The external labels as a label set.
    pub fn external_labels(&self) -> Labels {
        Labels::from_pairs(&self.labels)
    }
}

/// The resolution of a block's samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Downsample {
    /// Milliseconds: 0, 300,000 or 3,600,000 in blocks that can be used.
    pub resolution: i64,
}

/// The three resolutions that exist.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// Samples as they were scraped.
    #[default]
    Raw,
    /// One aggregate for 5 minutes.
    FiveMinutes,
    /// One aggregate for an hour.
    OneHour,
}

impl Resolution {
    /// Milliseconds: 0, 300,000 or 3,600,000.
    pub const fn ms(self) -> i64 {
        match self {
            Resolution::Raw => 0,
            Resolution::FiveMinutes => 300_000,
            Resolution::OneHour => 3_600_000,
        }
    }

    /// The resolution of that many milliseconds, if it is one of the three.
    pub const fn from_ms(ms: i64) -> Option<Resolution> {
        match ms {
            0 => Some(Resolution::Raw),
            300_000 => Some(Resolution::FiveMinutes),
            3_600_000 => Some(Resolution::OneHour),
            _ => None,
        }
    }
}

/// The program that made a block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum SourceType {
    /// Not given.
    #[default]
    Unknown,
    /// `sidecar`
    Sidecar,
    /// `receive`
    Receive,
    /// `ruler`
    Ruler,
    /// `compactor`; downsampled blocks too.
    Compactor,
    /// `compactor.repair`
    CompactorRepair,
    /// `bucket.repair`
    BucketRepair,
    /// `bucket.rewrite`
    BucketRewrite,
    /// `bucket.upload`
    BucketUpload,
    /// Anything else, kept as it is.
    Other(String),
}

impl SourceType {
    /// The text in the file.
    pub fn as_str(&self) -> &str {
        match self {
            SourceType::Unknown => "",
            SourceType::Sidecar => "sidecar",
            SourceType::Receive => "receive",
            SourceType::Ruler => "ruler",
            SourceType::Compactor => "compactor",
            SourceType::CompactorRepair => "compactor.repair",
            SourceType::BucketRepair => "bucket.repair",
            SourceType::BucketRewrite => "bucket.rewrite",
            SourceType::BucketUpload => "bucket.upload",
            SourceType::Other(text) => text,
        }
    }
}

impl From<String> for SourceType {
    fn from(text: String) -> SourceType {
        match text.as_str() {
            "" => SourceType::Unknown,
            "sidecar" => SourceType::Sidecar,
            "receive" => SourceType::Receive,
            "ruler" => SourceType::Ruler,
            "compactor" => SourceType::Compactor,
            "compactor.repair" => SourceType::CompactorRepair,
            "bucket.repair" => SourceType::BucketRepair,
            "bucket.rewrite" => SourceType::BucketRewrite,
            "bucket.upload" => SourceType::BucketUpload,
            _ => SourceType::Other(text),
        }
    }
}

impl From<SourceType> for String {
    fn from(source: SourceType) -> String {
        source.as_str().to_owned()
    }
}

impl fmt::Display for SourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One file of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Path inside the block, with `/`.
    #[serde(default)]
    pub rel_path: String,
    /// Bytes; 0 (absent) for meta.json.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub size_bytes: u64,
    /// Hash of the content, where one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<FileHash>,
}

/// Hash of a file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct FileHash {
    /// `SHA256` or nothing.
    #[serde(rename = "hashFunc")]
    pub function: String,
    /// Lower-case hex.
    pub value: String,
}

/// Upper bounds found when the block was made. Only positive numbers are meaningful: an absent bound is 0, and Thanos
/// writes the smallest integer if it measured nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IndexStats {
    /// Bytes of the longest series entry.
    #[serde(skip_serializing_if = "is_zero_i64")]
    pub series_max_size: i64,
    /// Bytes of the longest chunk.
    #[serde(skip_serializing_if = "is_zero_i64")]
    pub chunk_max_size: i64,
}

/// A record of a rewrite of the block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rewrite {
    /// The sources of the block before the rewrite.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub sources: Vec<BlockId>,
    /// The deletions.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub deletions_applied: Vec<DeletionRequest>,
    /// The relabelling steps.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub relabels_applied: Vec<RelabelRecord>,
}

/// A deletion that a rewrite applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeletionRequest {
    /// The series that match all of these matchers.
    #[serde(deserialize_with = "null_is_default")]
    pub matchers: Vec<MatcherRecord>,
    /// Closed intervals; an empty list means all times.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub intervals: Vec<Interval>,
    /// The id of the request, given by the requester.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_id: String,
}

/// A matcher, in the layout of Go's encoder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MatcherRecord {
    /// 0 `=`, 1 `!=`, 2 `=~`, 3 `!~`.
    pub r#type: i64,
    /// Label name.
    pub name: String,
    /// Value or pattern.
    pub value: String,
}

/// A closed interval of milliseconds, in the layout of Go's encoder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Interval {
    /// The first millisecond inside.
    pub mint: i64,
    /// The last millisecond inside.
    pub maxt: i64,
}

/// A relabelling step that a rewrite applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RelabelRecord {
    /// Labels whose values are joined.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub source_labels: Vec<String>,
    /// Separator of the joined values.
    pub separator: String,
    /// Pattern without the anchors that are added.
    pub regex: String,
    /// Modulus of `hashmod`.
    #[serde(skip_serializing_if = "is_zero")]
    pub modulus: u64,
    /// The label written.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target_label: String,
    /// Template of the written value.
    pub replacement: String,
    /// `replace`, `keep`, ...
    #[serde(skip_serializing_if = "String::is_empty")]
    pub action: String,
}

/// The time when the upload ended: RFC 3339 text, kept as it was read. The year 1 stands for an unset time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadTime(pub String);

impl Default for UploadTime {
    fn default() -> UploadTime {
        UploadTime("0001-01-01T00:00:00Z".to_owned())
    }
}

impl UploadTime {
    /// Whether the time is unset.
    pub fn is_unset(&self) -> bool {
        self.0.starts_with("0001-01-01T00:00:00Z")
    }

    /// Milliseconds since the Unix epoch; `None` where the text is no RFC 3339 time.
    pub fn unix_ms(&self) -> Option<i64> {
        parse_rfc3339_ms(&self.0)
    }
}

/// Reads an RFC 3339 time such as `2024-05-01T00:00:00.5Z`, as Go does, as milliseconds since the Unix epoch.
pub fn parse_rfc3339_ms(text: &str) -> Option<i64> {
    let (seconds, nanos) = parse_rfc3339(text)?;
    Some(seconds * 1000 + nanos / 1_000_000)
}

fn is_zero_i64(n: &i64) -> bool {
    *n == 0
}

#[cfg(test)]
mod tests {
    use super::parse_rfc3339_ms;

    #[test]
    fn times_as_date_prints_them() {
        // Expected values by GNU `date -u -d TEXT +%s%3N`.
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2024-05-01T00:00:00.5Z", 1_714_521_600_500),
            ("2024-02-29T23:59:59.123456789Z", 1_709_251_199_123),
            ("2024-03-01T01:30:00+02:00", 1_709_249_400_000),
            ("0001-01-01T00:00:00Z", -62_135_596_800_000),
            ("9999-12-31T23:59:59Z", 253_402_300_799_000),
        ] {
            assert_eq!(parse_rfc3339_ms(text), Some(ms), "{text}");
        }
        for text in
            ["", "2024-05-01", "2024-05-01 00:00:00Z", "2024-13-01T00:00:00Z", "2024-05-01T00:00:00.Z"]
        {
            assert_eq!(parse_rfc3339_ms(text), None, "{text}");
        }
    }
}
