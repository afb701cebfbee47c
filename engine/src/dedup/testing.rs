//! Random replicas and their chunks, for tests.

use tithon_chunks::{EncodedChunk, Encoding, Timestamp, XorEncoder};

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(super) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// Chunks of so many samples each.
pub(super) fn chunks_of(samples: &[(i64, f64)], per_chunk: usize) -> Vec<EncodedChunk> {
    let chunk = |part: &[(i64, f64)]| {
        let mut encoder = XorEncoder::new();
        part.iter().for_each(|(time, value)| encoder.push(*time, *value));
        EncodedChunk {
            encoding: Encoding::Xor,
            min_time: Timestamp(part[0].0),
            max_time: Timestamp(part[part.len() - 1].0),
            data: encoder.finish().into(),
        }
    };
    samples.chunks(per_chunk).map(chunk).collect()
}
