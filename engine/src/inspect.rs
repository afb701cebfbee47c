//! What is in a block, counted: for `tithon tools block inspect`.

use std::collections::BTreeMap;

use serde::Serialize;
use tithon_chunks::{AggregateChunk, Encoding, sample_count};

use crate::{Block, BlockError, BlockFile};

/// Counts over a whole block, deletions not applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The block's id.
    pub ulid: String,
    /// First millisecond of the block's range.
    pub min_time: i64,
    /// First millisecond after it.
    pub max_time: i64,
    /// Compaction level.
    pub level: i64,
    /// Resolution in milliseconds; 0 is raw.
    pub resolution: i64,
    /// External labels.
    pub external_labels: BTreeMap<String, String>,
    /// Number of series.
    pub series: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// Number of samples; of downsampled chunks, what their count aggregates hold.
    pub samples: u64,
    /// Number of deletions (series and interval) not yet applied.
    pub tombstones: u64,
    /// Bytes of the index file.
    pub index_bytes: u64,
    /// Bytes of the segment files.
    pub segment_bytes: u64,
    /// Number of segment files.
    pub segments: u64,
    /// Per encoding.
    pub encodings: BTreeMap<String, EncodingCount>,
}

/// What there is of one encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EncodingCount {
    /// Number of chunks.
    pub chunks: u64,
    /// Number of samples; 0 of an encoding that is not known.
    pub samples: u64,
    /// Bytes of their data.
    pub bytes: u64,
}

/// Reads every series entry and chunk header of a block and counts.
pub fn inspect(block: &Block) -> Result<Inspection, BlockError> {
    let meta = block.meta();
    let mut found = Inspection {
        ulid: meta.ulid.to_string(),
        min_time: meta.min_time,
        max_time: meta.max_time,
        level: meta.compaction.level,
        resolution: meta.resolution_ms(),
        external_labels: meta.thanos.as_ref().map(|t| t.labels.clone()).unwrap_or_default(),
        tombstones: block.tombstones().len() as u64,
        index_bytes: block.index().len() as u64,
        segment_bytes: block.segments().iter().map(|s| s.len() as u64).sum(),
        segments: block.segments().len() as u64,
        ..Inspection::default()
    };
    for series in block.stored()? {
        let series = series?;
        found.series += 1;
        for chunk in &series.chunks {
            let samples = match chunk.encoding {
                Encoding::Unknown(_) => Ok(0),
                Encoding::Aggregate => {
                    AggregateChunk::parse(&chunk.data).and_then(|parts| parts.sample_count())
                }
                encoding => sample_count(encoding, &chunk.data),
            };
            let samples = samples.map_err(|source| BlockError::Chunk {
                block: block.id(),
                file: BlockFile::Segment(chunk.meta.chunk_ref.segment()),
                offset: u64::from(chunk.meta.chunk_ref.offset()),
                source,
            })? as u64;
            let count = found.encodings.entry(encoding_name(chunk.encoding)).or_default();
            count.chunks += 1;
            count.samples += samples;
            count.bytes += chunk.data.len() as u64;
            found.chunks += 1;
            found.samples += samples;
        }
    }
    Ok(found)
}

fn encoding_name(encoding: Encoding) -> String {
    match encoding {
        Encoding::Xor => "xor".into(),
        Encoding::Histogram => "histogram".into(),
        Encoding::FloatHistogram => "floathistogram".into(),
        Encoding::Xor2 => "xor2".into(),
        Encoding::HistogramSt => "histogram-st".into(),
        Encoding::FloatHistogramSt => "floathistogram-st".into(),
        Encoding::Aggregate => "aggregate".into(),
        Encoding::Unknown(byte) => format!("unknown-{byte}"),
    }
}
