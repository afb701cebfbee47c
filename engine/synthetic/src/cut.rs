//! Cuts the samples of one series at block borders and at 120 samples.

use tithon_chunks::{EncodedChunk, Histogram};
use tithon_engine::compact::{ChunkBuilder, FloatEncoding, MergeError};

/// Takes samples in order of time and encodes them into chunks.
#[derive(Debug)]
pub(crate) struct Cutter {
    /// The start of the first block, milliseconds.
    start: i64,
    block_ms: i64,
    /// Number of the open block, and the first millisecond after it.
    block: usize,
    block_end: i64,
    builder: ChunkBuilder,
    done: Vec<BlockChunks>,
}

/// The chunks that a series has in one block.
#[derive(Debug)]
pub(crate) struct BlockChunks {
    /// Number of the block, from 0.
    pub(crate) block: usize,
    /// The chunks, ascending by time.
    pub(crate) chunks: Vec<EncodedChunk>,
}

impl Cutter {
    /// Blocks of `block_ms` from `start` on.
    pub(crate) fn new(start: i64, block_ms: i64) -> Cutter {
        Cutter {
            start,
            block_ms,
            block: 0,
            block_end: start + block_ms,
            builder: ChunkBuilder::new(FloatEncoding::Xor),
            done: Vec::new(),
        }
    }

    /// Adds a float.
    pub(crate) fn float(&mut self, t: i64, value: f64) {
        if t >= self.block_end {
            self.open_block_of(t);
        }
        self.builder.push_float(0, t, value);
    }

    /// Adds a histogram; fails on one whose buckets contradict its spans.
    pub(crate) fn histogram(&mut self, t: i64, histogram: &Histogram) -> Result<(), MergeError> {
        if t >= self.block_end {
            self.open_block_of(t);
        }
        self.builder.push_histogram(0, t, histogram)
    }

    /// The chunks of each block, ascending by block.
    pub(crate) fn finish(mut self) -> Vec<BlockChunks> {
        self.close_block();
        self.done
    }

    fn open_block_of(&mut self, t: i64) {
        self.close_block();
        self.block = ((t - self.start) / self.block_ms) as usize;
        self.block_end = self.start + (self.block as i64 + 1) * self.block_ms;
    }

    fn close_block(&mut self) {
        let builder = std::mem::replace(&mut self.builder, ChunkBuilder::new(FloatEncoding::Xor));
        let chunks = builder.finish();
        if !chunks.is_empty() {
            self.done.push(BlockChunks { block: self.block, chunks });
        }
    }
}
