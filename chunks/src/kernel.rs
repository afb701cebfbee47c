//! The hot loops: sample columns without double writes, and eight chunks side by side in AVX-512 registers.
//!
//! The only module of the crate with `unsafe`. The scalar twin of every kernel is [`crate::xor::walk`].
#![allow(unsafe_code)]

mod columns;
#[cfg(target_arch = "x86_64")]
mod lanes;

use crate::SampleBatch;

pub(crate) use columns::{Columns, StartColumns};

/// Chunks that are decoded side by side.
const N_LANES: usize = 8;

/// Whether the CPU can decode in lanes.
pub(crate) fn lanes_available() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512dq")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Decodes all XOR `chunks` behind the end of `out`: chunk `i`, which has `starts[i + 1] - starts[i]` samples, from
/// `starts[i]` on; in lanes those that `for_lanes` picks, which have more than 2 samples.
///
/// Answers `false`, leaving `out` alone, when a chunk is damaged.
pub(crate) fn decode_batch(
    chunks: &[&[u8]],
    starts: &[usize],
    for_lanes: impl Fn(usize) -> bool,
    out: &mut SampleBatch,
) -> bool {
    let n_of = |i: usize| starts[i + 1] - starts[i];
    let total = starts[chunks.len()];
    out.timestamps.reserve(total);
    out.values.reserve(total);
    let lanes = lanes_available();
    let (mut in_lanes, mut alone): (Vec<usize>, Vec<usize>) =
        (0..chunks.len()).partition(|i| lanes && n_of(*i) > 2 && for_lanes(*i));
    // Chunks of one length keep their lanes busy to the end.
    in_lanes.sort_unstable_by_key(|i| n_of(*i));
    let mut scratch = Vec::new();
    let mut groups = in_lanes.chunks_exact(N_LANES);
    for group in groups.by_ref() {
        let group: &[usize; N_LANES] = group.try_into().expect("chunks_exact gives full groups");
        if !decode_lanes(chunks, group, starts, out, &mut scratch) {
            return false;
        }
    }
    alone.extend_from_slice(groups.remainder());
    if !alone.iter().all(|i| decode_at(chunks[*i], starts[*i], n_of(*i), out)) {
        return false;
    }
    assert!(
        out.timestamps.spare_capacity_mut().len() >= total && out.values.spare_capacity_mut().len() >= total
    );
    // SAFETY: the capacity is there; every chunk went either into a group or is alone, and each was decoded with
    // success, which wrote exactly its samples from its start on: all `total` of them.
    unsafe {
        out.timestamps.set_len(out.timestamps.len() + total);
        out.values.set_len(out.values.len() + total);
    }
    true
}

/// Decodes eight chunks side by side.
fn decode_lanes(
    chunks: &[&[u8]],
    group: &[usize; N_LANES],
    starts: &[usize],
    out: &mut SampleBatch,
    scratch: &mut Vec<u8>,
) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: groups are only made where `lanes_available` found the features that `decode` is compiled for.
        unsafe { lanes::decode(chunks, group, starts, out, scratch) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (chunks, group, starts, out, scratch);
        false
    }
}

/// Decodes one chunk with exactly `n` samples into the spare room of `out`, `start` samples behind its end.
fn decode_at(data: &[u8], start: usize, n: usize, out: &mut SampleBatch) -> bool {
    let mut columns = Columns::at(out, start, n);
    let ok = crate::xor::walk::<true>(data, &mut columns).is_ok();
    columns.forget() == n && ok
}
