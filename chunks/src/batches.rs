//! Many float chunks a call, so that a kernel can fill its lanes; and the choice of the way to decode each.

use crate::count::{float_count_max, sample_count};
use crate::kernel::{self, Columns, Lanes};
use crate::{ChunkError, Encoding, SampleBatch, TimeRange, decode, xor};

/// A way to decode XOR chunks. All give the same samples; they differ in speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodePath {
    /// Sample by sample.
    Scalar,
    /// Sample by sample, stretches of unchanged samples at once.
    ZeroRuns,
    /// Eight chunks side by side, where the CPU has AVX-512 or AVX2; else like `ZeroRuns`.
    Lanes,
    /// Eight chunks side by side in two groups of four, where the CPU has AVX2; else like `ZeroRuns`.
    FourLanes,
    /// The fastest for each chunk, told by its bytes a sample.
    Hybrid,
}

/// Appends all samples of `chunks` to `out`, chunk after chunk, and the length of `out` after each to `ends`.
///
/// On an error `out` and `ends` hold the chunks before the damaged one.
pub fn decode_float_chunks(
    chunks: &[(Encoding, &[u8])],
    out: &mut SampleBatch,
    ends: &mut Vec<usize>,
) -> Result<(), ChunkError> {
    decode_float_chunks_by(DecodePath::Hybrid, chunks, out, ends)
}

/// [`decode_float_chunks`] by a given path, for comparing them.
pub fn decode_float_chunks_by(
    path: DecodePath,
    chunks: &[(Encoding, &[u8])],
    out: &mut SampleBatch,
    ends: &mut Vec<usize>,
) -> Result<(), ChunkError> {
    let lanes = match path {
        DecodePath::Lanes => Lanes::best(),
        DecodePath::FourLanes => Lanes::twice_four(),
        DecodePath::Hybrid if chunks.len() > 1 => Lanes::best(),
        _ => None,
    };
    if lanes.is_some_and(|lanes| decode_in_lanes(path, lanes, chunks, out, ends)) {
        return Ok(());
    }
    for (encoding, data) in chunks {
        let start = out.len();
        let result = match (encoding, path) {
            (Encoding::Xor, DecodePath::Scalar) => {
                let n_max = float_count_max(*encoding, data)?;
                xor::walk::<false>(data, &mut Columns::new(out, n_max))
            }
            _ => decode::decode_floats(*encoding, data, TimeRange::ALL, out),
        };
        if let Err(error) = result {
            out.timestamps.truncate(start);
            out.values.truncate(start);
            return Err(error);
        }
        ends.push(out.len());
    }
    Ok(())
}

/// Bytes a sample from which on lanes beat a scalar decoder that skips runs of unchanged samples.
const LANES_FROM_BYTES_PER_SAMPLE: f64 = 1.3;
/// The share of samples in zero bytes, four to a byte, from which on runs are long enough to be skipped.
const RUNS_FROM_ZERO_SHARE: f64 = 0.7;

/// Whether lanes decode a chunk faster: it compresses badly, or its unchanged samples lie scattered.
fn pays_in_lanes(encoding: Encoding, data: &[u8]) -> bool {
    let n = sample_count(encoding, data).unwrap_or(0);
    if encoding != Encoding::Xor || n <= 2 {
        return false;
    }
    data.len() as f64 > LANES_FROM_BYTES_PER_SAMPLE * n as f64
        || (4 * n_zero(data)) as f64 <= RUNS_FROM_ZERO_SHARE * n as f64
}

/// How many bytes are 0; counted in bytes, of which the compiler adds many at once.
fn n_zero(data: &[u8]) -> usize {
    let in_strip = |strip: &[u8]| strip.iter().fold(0_u8, |n, byte| n + u8::from(*byte == 0));
    data.chunks(usize::from(u8::MAX)).map(|strip| usize::from(in_strip(strip))).sum()
}

/// Decodes all chunks, in lanes where that pays; `false`, leaving `out` and `ends` alone, when something is damaged
/// or not an XOR chunk.
fn decode_in_lanes(
    path: DecodePath,
    lanes: Lanes,
    chunks: &[(Encoding, &[u8])],
    out: &mut SampleBatch,
    ends: &mut Vec<usize>,
) -> bool {
    let mut starts = Vec::with_capacity(chunks.len() + 1);
    let mut datas = Vec::with_capacity(chunks.len());
    let mut total = 0;
    starts.push(0);
    for (encoding, data) in chunks {
        let Ok(n) = sample_count(*encoding, data) else { return false };
        if *encoding != Encoding::Xor || n > xor::samples_max(data.len()) {
            return false;
        }
        total += n;
        starts.push(total);
        datas.push(*data);
    }
    let before = out.len();
    let for_lanes = |i: usize| path != DecodePath::Hybrid || pays_in_lanes(Encoding::Xor, datas[i]);
    if !kernel::decode_batch(lanes, &datas, &starts, for_lanes, out) {
        return false;
    }
    ends.extend(starts[1..].iter().map(|end| before + end));
    true
}
