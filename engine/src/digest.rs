//! Digests of a block, series by series, over the whole content of its chunks: blocks with equal digests hold the same
//! series, chunks and samples. Deletions are not applied.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};
use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, ChunkMeta, Encoding, Sample, canonical_bytes, crc32c,
    decode_exact, sample_count,
};
use tithon_index::{SeriesDecoder, SeriesRef};

use crate::entries::walk;
use crate::input::InputBlock;
use crate::{Block, BlockError, BlockFile, FileRange, record};

/// The digest of one series; serialises to one line of the digest form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SeriesDigest {
    /// The series reference.
    pub id: u32,
    /// Names and values; bytes that are not UTF-8 are replaced.
    pub labels: Vec<(String, String)>,
    /// Its chunks in the order of the index.
    pub chunks: Vec<ChunkDigest>,
    /// Number of samples; of a downsampled series, those of its count.
    pub samples: u64,
    /// SHA-256 over the canonical bytes of all samples, in hex.
    pub digest: String,
    /// SHA-256 over the start timestamps (8 bytes each, little-endian), in hex; absent when all are 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub st_digest: Option<String>,
}

/// The digest of one chunk of a [`SeriesDigest`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChunkDigest {
    /// First time, as the index says.
    pub mint: i64,
    /// Last time, as the index says.
    pub maxt: i64,
    /// The chunk reference.
    #[serde(rename = "ref")]
    pub chunk_ref: u64,
    /// The encoding byte.
    pub encoding: u8,
    /// Samples, as the header says.
    pub samples: u64,
    /// Length of the data.
    pub bytes: u64,
    /// CRC-32C of the data, in hex.
    pub crc32c: String,
    /// The parts of a downsampled chunk, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggr: Option<BTreeMap<&'static str, AggregateDigest>>,
}

/// The digest of one aggregate of a [`ChunkDigest`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AggregateDigest {
    /// The chunk has the aggregate.
    Present {
        /// Always true.
        present: bool,
        /// The encoding byte.
        encoding: u8,
        /// Samples decoded.
        samples: u64,
        /// Samples, as the header says.
        header_samples: u64,
        /// Length of the data.
        bytes: u64,
        /// SHA-256 over the canonical bytes of its samples, in hex.
        digest: String,
    },
    /// The chunk does not have the aggregate.
    Absent {
        /// Always false.
        present: bool,
    },
}

/// Visits the digests of all series of a block, in label order. Fails at the first damaged part; a chunk of an unknown
/// encoding counts as damaged.
pub fn digests<E: From<BlockError>>(
    block: &Block,
    mut visit: impl FnMut(SeriesDigest) -> Result<(), E>,
) -> Result<(), E> {
    let mut decoder = SeriesDecoder::new(block.header());
    walk(InputBlock::from(block), |id, entry| {
        let entry = entry?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pairs = decoder.pairs(entry).map_err(BlockError::index(block.id()))?;
        let labels = pairs.iter().map(|(name, value)| (text(name), text(value))).collect();
        visit(series(block, id, labels, &entry.chunks)?)
    })
}

fn series(
    block: &Block,
    id: SeriesRef,
    labels: Vec<(String, String)>,
    metas: &[ChunkMeta],
) -> Result<SeriesDigest, BlockError> {
    let mut total = Hashes::default();
    let mut chunks = Vec::with_capacity(metas.len());
    let mut samples = 0;
    for meta in metas {
        let file = BlockFile::Segment(meta.chunk_ref.segment());
        let offset = u64::from(meta.chunk_ref.offset());
        let bytes = block.read(&[FileRange { file, start: offset, len: u64::MAX }])?.remove(0);
        let at_fault = |source| BlockError::Chunk { block: block.id(), file, offset, source };
        let chunk = record::chunk(&bytes, meta).map_err(at_fault)?;
        let described = one_chunk(chunk.encoding, &chunk.data, meta, &mut total).map_err(at_fault)?;
        samples += described.samples;
        chunks.push(described);
    }
    let st_digest = total.any_start.then(|| hex(total.starts));
    Ok(SeriesDigest { id: id.0, labels, chunks, samples, digest: hex(total.samples), st_digest })
}

fn one_chunk(
    encoding: Encoding,
    data: &[u8],
    meta: &ChunkMeta,
    total: &mut Hashes,
) -> Result<ChunkDigest, ChunkError> {
    let (samples, aggr) = if encoding == Encoding::Aggregate {
        let parts = AggregateChunk::parse(data)?;
        let mut described = BTreeMap::new();
        for aggregate in Aggregate::ALL {
            let part = match parts.get(aggregate) {
                Some((encoding, data)) => one_aggregate(encoding, data, total)?,
                None => AggregateDigest::Absent { present: false },
            };
            described.insert(aggregate.name(), part);
        }
        (sample_count(encoding, data)? as u64, Some(described))
    } else {
        let mut decoded = Vec::new();
        decode_exact(encoding, data, &mut decoded)?;
        total.add(&decoded);
        (sample_count(encoding, data)? as u64, None)
    };
    Ok(ChunkDigest {
        mint: meta.min_time.0,
        maxt: meta.max_time.0,
        chunk_ref: meta.chunk_ref.0,
        encoding: encoding.byte(),
        samples,
        bytes: data.len() as u64,
        crc32c: format!("{:08x}", crc32c(data)),
        aggr,
    })
}

fn one_aggregate(encoding: Encoding, data: &[u8], total: &mut Hashes) -> Result<AggregateDigest, ChunkError> {
    let mut decoded = Vec::new();
    decode_exact(encoding, data, &mut decoded)?;
    total.add(&decoded);
    let mut alone = Hashes::default();
    alone.add(&decoded);
    Ok(AggregateDigest::Present {
        present: true,
        encoding: encoding.byte(),
        samples: decoded.len() as u64,
        header_samples: sample_count(encoding, data)? as u64,
        bytes: data.len() as u64,
        digest: hex(alone.samples),
    })
}

#[derive(Default)]
struct Hashes {
    samples: Sha256,
    starts: Sha256,
    any_start: bool,
    buffer: Vec<u8>,
}

impl Hashes {
    fn add(&mut self, samples: &[Sample]) {
        for sample in samples {
            self.buffer.clear();
            canonical_bytes(sample, &mut self.buffer);
            self.samples.update(&self.buffer);
            self.starts.update(sample.st.0.to_le_bytes());
            self.any_start |= sample.st.0 != 0;
        }
    }
}

fn hex(hash: Sha256) -> String {
    hex::encode(hash.finalize())
}
