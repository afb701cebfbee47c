//! meta.json: a block's time range, its origin, and the section that Thanos adds.
//!
//! Written byte for byte as upstream writes it: keys in this order, indented by tabs, Go's escapes. Prometheus
//! `tsdb/block.go`, Thanos `pkg/block/metadata/meta.go`.

mod thanos;

use serde::{Deserialize, Deserializer, Serialize};
use tithon_chunks::{ErrorKind, TimeRange};

use crate::{BlockId, go_json};

pub use self::thanos::{
    DeletionRequest, Downsample, File, FileHash, IndexStats, Interval, MatcherRecord, RelabelRecord,
    Resolution, Rewrite, SourceType, ThanosMeta, UploadTime, parse_rfc3339_ms,
};

/// The content of meta.json. `max_time` is not part of the block's time range.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlockMeta {
    /// The block's id.
    pub ulid: BlockId,
    /// The first millisecond that may hold a sample.
    #[serde(rename = "minTime", default)]
    pub min_time: i64,
    /// The first millisecond after the block.
    #[serde(rename = "maxTime", default)]
    pub max_time: i64,
    /// Counts of the block's content.
    #[serde(default)]
    pub stats: BlockStats,
    /// The compactions that made the block.
    #[serde(default)]
    pub compaction: Compaction,
    /// Always 1.
    #[serde(default)]
    pub version: i64,
    /// The section that Thanos adds; absent in a block that Prometheus wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thanos: Option<ThanosMeta>,
}

/// Counts of a block's content; a count of 0 is left out of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockStats {
    /// All samples.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    /// Samples that are floats; absent in older blocks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Samples that are native histograms; absent in older blocks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    /// Series.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    /// Chunks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    /// Intervals in the tombstones file.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

/// The compactions that made a block.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// 1 for a block cut from a head, else one more than the highest level of the inputs.
    pub level: i64,
    /// The level-1 blocks that were merged into the block, ascending; a level-1 block names itself.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub sources: Vec<BlockId>,
    /// The block went into a compaction that had no sample left.
    #[serde(skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// The direct inputs, in the order they were given.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub parents: Vec<BlockDesc>,
    /// The block went into a compaction that failed.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
    /// Notes such as `from-out-of-order`, ascending.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub hints: Vec<String>,
}

/// A block and its half-open time range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockDesc {
    /// The block.
    pub ulid: BlockId,
    /// The first millisecond inside.
    #[serde(rename = "minTime", default)]
    pub min_time: i64,
    /// The first millisecond after it.
    #[serde(rename = "maxTime", default)]
    pub max_time: i64,
}

/// Why a meta.json could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// Not JSON, or not of the shape that meta.json has.
    #[error("meta.json line {line} column {column}: {reason}")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What was expected.
        reason: String,
    },
    /// A version of the file that this program does not support.
    #[error("meta.json {section} version {found} is not supported, expected 1")]
    Version {
        /// `block` or `thanos`.
        section: &'static str,
        /// The number in the file.
        found: i64,
    },
    /// The time range is impossible.
    #[error("meta.json covers [{min_time}, {max_time}), which ends before it starts")]
    Range {
        /// The first millisecond inside.
        min_time: i64,
        /// The first millisecond after it.
        max_time: i64,
    },
}

impl MetaError {
    /// The kind of the error, which tells callers what to do about it.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            MetaError::Version { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Corrupt,
        }
    }
}

/// The fields of a meta.json and of the structures inside.
const FIELDS: &[&str] = &[
    "ulid",
    "minTime",
    "maxTime",
    "stats",
    "numSamples",
    "numFloatSamples",
    "numHistogramSamples",
    "numSeries",
    "numChunks",
    "numTombstones",
    "compaction",
    "level",
    "sources",
    "deletable",
    "parents",
    "failed",
    "hints",
    "version",
    "thanos",
    "labels",
    "downsample",
    "resolution",
    "source",
    "segment_files",
    "files",
    "rel_path",
    "size_bytes",
    "hash",
    "hashFunc",
    "value",
    "rewrites",
    "index_stats",
    "series_max_size",
    "chunk_max_size",
    "extensions",
    "upload_time",
];

/// Any content may be below these keys: external labels, extensions that somebody attached, and records of rewrites,
/// which are only kept.
const MAPS: &[&str] = &["labels", "extensions", "rewrites"];

impl BlockMeta {
    /// Reads the bytes of a meta.json as Go's decoder does: keys may come in any order and case, the last of several
    /// counts, and unknown ones are ignored.
    pub fn parse(bytes: &[u8]) -> Result<BlockMeta, MetaError> {
        let read = go_json::from_slice(bytes, FIELDS, MAPS).map_err(|e| {
            // A value of the wrong type is found when its place is no longer known.
            let e =
                if e.line() > 0 { e } else { serde_json::from_slice::<BlockMeta>(bytes).err().unwrap_or(e) };
            MetaError::Json { line: e.line(), column: e.column(), reason: reason_of(&e) }
        });
        let mut meta: BlockMeta = read?;
        if meta.version != 1 {
            return Err(MetaError::Version { section: "block", found: meta.version });
        }
        if let Some(found) = meta.thanos.as_ref().map(|t| t.version).filter(|v| !matches!(v, 0 | 1)) {
            return Err(MetaError::Version { section: "thanos", found });
        }
        if meta.min_time > meta.max_time {
            return Err(MetaError::Range { min_time: meta.min_time, max_time: meta.max_time });
        }
        if let Some(thanos) = &mut meta.thanos
            && thanos.extensions == Some(serde_json::Value::Null)
        {
            thanos.extensions = None;
        }
        Ok(meta)
    }

    /// The bytes of the file as Prometheus writes them without a `thanos` section, and as Thanos writes them with one
    /// (such a file ends with a newline).
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, format);
        self.serialize(&mut serializer).expect("a meta has only string keys, and a Vec takes every byte");
        let mut out = escape_as_go(&out);
        if self.thanos.is_some() {
            out.push(b'\n');
        }
        out
    }

    /// The block's id and time range.
    pub const fn desc(&self) -> BlockDesc {
        BlockDesc { ulid: self.ulid, min_time: self.min_time, max_time: self.max_time }
    }

    /// The closed time range of samples that the block may hold; empty when the block has no length.
    pub const fn range(&self) -> TimeRange {
        TimeRange::new(self.min_time, self.max_time.saturating_sub(1))
    }

    /// The resolution in milliseconds: 0 (raw) unless the `thanos` section has another.
    pub fn resolution_ms(&self) -> i64 {
        self.thanos.as_ref().map_or(0, |t| t.downsample.resolution)
    }
}

/// The message without the position that serde_json adds at its end.
fn reason_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// Go escapes characters that are special in HTML or JavaScript; in JSON these characters occur inside strings only.
fn escape_as_go(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + 16);
    let mut rest = json;
    while let Some((&byte, tail)) = rest.split_first() {
        let (escape, len) = match (byte, rest) {
            (b'<', _) => (r"\u003c", 1),
            (b'>', _) => (r"\u003e", 1),
            (b'&', _) => (r"\u0026", 1),
            (_, [0xe2, 0x80, 0xa8, ..]) => (r"\u2028", 3),
            (_, [0xe2, 0x80, 0xa9, ..]) => (r"\u2029", 3),
            _ => {
                out.push(byte);
                rest = tail;
                continue;
            }
        };
        out.extend_from_slice(escape.as_bytes());
        rest = &rest[len..];
    }
    out
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_false(b: &bool) -> bool {
    !*b
}

/// Go writes an unset list or map as `null`.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metas_below(dir: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                metas_below(&path, found);
            } else if path.file_name().is_some_and(|n| n == "meta.json") {
                found.push(path);
            }
        }
    }

    #[test]
    fn golden_files_come_back_byte_for_byte() {
        let mut paths = Vec::new();
        for dir in ["blocks", "compaction", "downsample", "bucket", "head"] {
            metas_below(&tithon_testdata::shared(&format!("testdata/{dir}")), &mut paths);
        }
        // real-2022 and index-format-v1 come from older writers with another indentation or other keys.
        paths.retain(|p| {
            !p.to_string_lossy().contains("real-2022") && !p.to_string_lossy().contains("format-v1")
        });
        assert!(paths.len() > 60, "{}", paths.len());
        for path in paths {
            let bytes = std::fs::read(&path).unwrap();
            let meta = BlockMeta::parse(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let ours = String::from_utf8(meta.to_json()).unwrap();
            assert_eq!(ours, String::from_utf8(bytes).unwrap(), "{}", path.display());
        }
    }

    #[test]
    fn older_writers_are_read() {
        for block in ["real-2022", "index-format-v1"] {
            let path = tithon_testdata::shared(&format!("testdata/blocks/{block}/meta.json"));
            BlockMeta::parse(&std::fs::read(path).unwrap()).unwrap();
        }
    }

    #[test]
    fn every_optional_key_is_kept() {
        let text = include_str!("meta/full.json");
        let meta = BlockMeta::parse(text.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(meta.to_json()).unwrap(), text);
    }

    #[test]
    fn bad_files_say_where() {
        let cut = br#"{"ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "minTi"#;
        assert!(matches!(BlockMeta::parse(cut), Err(MetaError::Json { line: 1, column: 45, .. })));
        let version = br#"{"ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "version": 2}"#;
        let error = BlockMeta::parse(version).unwrap_err();
        assert_eq!(error, MetaError::Version { section: "block", found: 2 });
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let range = br#"{"ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "version": 1, "minTime": 5, "maxTime": 4}"#;
        assert!(matches!(BlockMeta::parse(range), Err(MetaError::Range { .. })));
        let id = br#"{"ulid": "nonsense", "version": 1}"#;
        let text = BlockMeta::parse(id).unwrap_err().to_string();
        assert!(text.starts_with("meta.json line 1 column 19: \"nonsense\" is not a block id"), "{text}");
    }

    #[test]
    fn nulls_count_as_unset() {
        let text = br#"{"ulid": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "version": 1, "compaction": {"level": 1, "sources": null},
            "thanos": {"labels": null, "downsample": {"resolution": 300000}, "extensions": null}}"#;
        let meta = BlockMeta::parse(text).unwrap();
        assert!(meta.thanos.as_ref().unwrap().labels.is_empty());
        assert_eq!(meta.resolution_ms(), 300_000);
    }

    #[test]
    fn keys_in_another_case_or_twice_are_read_as_go_reads_them() {
        let path = tithon_testdata::shared("testdata/field/meta/keys-in-other-case.json");
        let meta = BlockMeta::parse(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(meta.ulid.to_string(), "01HSHQA400P523V9WVCFVMW6GP");
        assert_eq!((meta.min_time, meta.max_time), (1_710_028_800_000, 1_711_065_600_000));
        let text = r#"{"ulid": "01HSHQA400P523V9WVCFVMW6GP", "version": 7, "minTime": 5, "maxTime": 6, "Version": 1,
            "minTime": null, "stats": {"numSeries": 3}, "Stats": {"NUMCHUNKS": 4},
            "thanos": {"Labels": {"A": "1", "a": "2"}, "downsample": null}}"#;
        let meta = BlockMeta::parse(text.as_bytes()).unwrap();
        assert_eq!((meta.version, meta.min_time, meta.stats.num_series, meta.stats.num_chunks), (1, 5, 3, 4));
        assert_eq!(meta.thanos.unwrap().labels.len(), 2);
        let wrong = BlockMeta::parse(b"{\n\"ulid\": 5}").unwrap_err();
        assert!(matches!(wrong, MetaError::Json { line: 2, .. }), "{wrong}");
    }
}
