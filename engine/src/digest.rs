//! Digests of series: two blocks that give the same hold the same samples, chunk by chunk.
//!
//! SHA-256 over the canonical bytes of every sample ([`tithon_chunks::canonical_bytes`]), as JSON lines.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, Encoding, Sample, canonical_bytes, crc32c, decode_exact,
    sample_count,
};

use crate::{BlockError, BlockFile, BlockId, StoredChunk, StoredSeries};

/// What a series holds, in the form that is printed as one JSON line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeriesDigest {
    /// Series reference in postings lists.
    pub id: u32,
    /// Pairs of name and value; bytes that are not UTF-8 are replaced.
    pub labels: Vec<(String, String)>,
    /// Its chunks.
    pub chunks: Vec<ChunkDigest>,
    /// All samples; of aggregates, what the count sub-chunks' headers say.
    pub samples: u64,
    /// SHA-256 over all samples in order; of aggregates, over all sub-chunks.
    pub digest: String,
    /// SHA-256 over the start timestamps, if any sample has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub st_digest: Option<String>,
}

/// What a chunk holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChunkDigest {
    /// First time in the index, milliseconds.
    pub mint: i64,
    /// Last time in the index, milliseconds.
    pub maxt: i64,
    /// Chunk reference.
    #[serde(rename = "ref")]
    pub chunk_ref: u64,
    /// Encoding byte.
    pub encoding: u8,
    /// Number of samples; of aggregates, what the count sub-chunk's header says.
    pub samples: u64,
    /// Length of the data.
    pub bytes: u64,
    /// CRC-32C of the data without the encoding byte, eight hex digits.
    pub crc32c: String,
    /// The sub-chunks of a downsampled chunk by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggr: Option<BTreeMap<&'static str, AggregateDigest>>,
}

/// What a sub-chunk of a downsampled chunk holds; all but `present` only if it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AggregateDigest {
    /// Whether it is there.
    pub present: bool,
    /// Encoding byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<u8>,
    /// Number of samples decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// Number of samples that its header tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_samples: Option<u64>,
    /// Length of its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// SHA-256 over its samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// Computes the digests of a series of block `block`.
pub fn digest_series(block: BlockId, series: &StoredSeries) -> Result<SeriesDigest, BlockError> {
    let mut sums = Sums::default();
    let mut chunks = Vec::with_capacity(series.chunks.len());
    for chunk in &series.chunks {
        let digest = digest_chunk(chunk, &mut sums).map_err(|source| BlockError::Chunk {
            block,
            file: BlockFile::Segment(chunk.meta.chunk_ref.segment()),
            offset: u64::from(chunk.meta.chunk_ref.offset()),
            source,
        })?;
        chunks.push(digest);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(SeriesDigest {
        id: series.id.0,
        labels: series.labels.iter().map(|(n, v)| (text(n), text(v))).collect(),
        samples: chunks.iter().map(|c| c.samples).sum(),
        chunks,
        digest: hex(sums.samples),
        st_digest: sums.any_start.then(|| hex(sums.starts)),
    })
}

/// Running digests over a series.
#[derive(Default)]
struct Sums {
    samples: Sha256,
    starts: Sha256,
    any_start: bool,
    scratch: Vec<u8>,
    decoded: Vec<Sample>,
}

impl Sums {
    fn add(&mut self, samples: &[Sample]) {
        for sample in samples {
            self.scratch.clear();
            canonical_bytes(sample, &mut self.scratch);
            self.samples.update(&self.scratch);
            self.starts.update(sample.st.0.to_le_bytes());
            self.any_start |= sample.st.0 != 0;
        }
    }

    /// Decodes into the buffer that is handed back to `decoded` afterwards.
    fn decode(&mut self, encoding: Encoding, data: &[u8]) -> Result<Vec<Sample>, ChunkError> {
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        decode_exact(encoding, data, &mut decoded)?;
        Ok(decoded)
    }
}

fn digest_chunk(chunk: &StoredChunk, sums: &mut Sums) -> Result<ChunkDigest, ChunkError> {
    let (samples, aggr) = match chunk.encoding {
        Encoding::Aggregate => {
            let parts = AggregateChunk::parse(&chunk.data)?;
            (parts.sample_count()? as u64, Some(digest_aggregates(&parts, sums)?))
        }
        encoding => {
            let decoded = sums.decode(encoding, &chunk.data)?;
            sums.add(&decoded);
            let n = decoded.len() as u64;
            sums.decoded = decoded;
            (n, None)
        }
    };
    Ok(ChunkDigest {
        mint: chunk.meta.min_time.0,
        maxt: chunk.meta.max_time.0,
        chunk_ref: chunk.meta.chunk_ref.0,
        encoding: chunk.encoding.byte(),
        samples,
        bytes: chunk.data.len() as u64,
        crc32c: format!("{:08x}", crc32c(&chunk.data)),
        aggr,
    })
}

fn digest_aggregates(
    parts: &AggregateChunk<'_>,
    sums: &mut Sums,
) -> Result<BTreeMap<&'static str, AggregateDigest>, ChunkError> {
    let mut found = BTreeMap::new();
    for aggregate in Aggregate::ALL {
        let Some((encoding, data)) = parts.get(aggregate) else {
            found.insert(aggregate.name(), AggregateDigest::default());
            continue;
        };
        let decoded = sums.decode(encoding, data)?;
        let mut alone = Sums::default();
        alone.add(&decoded);
        sums.add(&decoded);
        let digest = AggregateDigest {
            present: true,
            encoding: Some(encoding.byte()),
            samples: Some(decoded.len() as u64),
            header_samples: Some(sample_count(encoding, data)? as u64),
            bytes: Some(data.len() as u64),
            digest: Some(hex(alone.samples)),
        };
        sums.decoded = decoded;
        found.insert(aggregate.name(), digest);
    }
    Ok(found)
}

fn hex(sum: Sha256) -> String {
    sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
