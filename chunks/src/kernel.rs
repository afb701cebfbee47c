//! The hot loops: sample columns without double writes, and eight chunks side by side in AVX-512 or AVX2 registers.
//!
//! The only module of the crate with `unsafe`. The scalar twin of every kernel is [`crate::xor::walk`]. On noisy chunks
//! two groups of four AVX2 lanes that take turns decode 1.5 to 1.9 times as fast as scalar code on a Zen 5 (5.2 to 6.3 ns
//! a sample against 9.1 to 10; AVX-512: 3.8 to 4.2); four lanes alone or gathers are no faster. NEON stays scalar: two
//! lanes a register, and no such machine at hand to measure on.
#![allow(unsafe_code)]

mod columns;
#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod guard;
#[cfg(target_arch = "x86_64")]
mod lanes;
#[cfg(target_arch = "x86_64")]
mod load;
#[cfg(target_arch = "x86_64")]
mod quads;

use crate::SampleBatch;

pub(crate) use columns::{Columns, StartColumns};

/// Chunks that are decoded side by side.
pub(crate) const N_LANES: usize = 8;

/// How the chunks of a group are decoded side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(crate) enum Lanes {
    /// All in one AVX-512 register.
    Eight,
    /// In two AVX2 registers.
    TwiceFour,
}

impl Lanes {
    /// The fastest that the CPU has.
    pub(crate) fn best() -> Option<Lanes> {
        if lanes_available() { Some(Lanes::Eight) } else { Lanes::twice_four() }
    }

    /// [`Lanes::TwiceFour`] where the CPU has AVX2.
    pub(crate) fn twice_four() -> Option<Lanes> {
        #[cfg(target_arch = "x86_64")]
        {
            is_x86_feature_detected!("avx2").then_some(Lanes::TwiceFour)
        }
        #[cfg(not(target_arch = "x86_64"))]
        None
    }
}

/// Whether the CPU can decode in [`Lanes::Eight`].
fn lanes_available() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512cd")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Decodes all XOR `chunks` behind the end of `out`: chunk `i`, which has `starts[i + 1] - starts[i]` samples, from
/// `starts[i]` on; in `lanes`, which the CPU has, those that `for_lanes` picks, which have more than 2 samples.
///
/// Answers `false`, leaving `out` alone, when a chunk is damaged.
pub(crate) fn decode_batch(
    lanes: Lanes,
    chunks: &[&[u8]],
    starts: &[usize],
    for_lanes: impl Fn(usize) -> bool,
    out: &mut SampleBatch,
) -> bool {
    let n_of = |i: usize| starts[i + 1] - starts[i];
    let total = starts[chunks.len()];
    out.timestamps.reserve(total);
    out.values.reserve(total);
    let (mut in_lanes, mut alone): (Vec<usize>, Vec<usize>) =
        (0..chunks.len()).partition(|i| n_of(*i) > 2 && for_lanes(*i));
    // Chunks of one length keep their lanes busy to the end.
    in_lanes.sort_unstable_by_key(|i| n_of(*i));
    let mut scratch = Vec::new();
    for group in groups(&in_lanes, &mut alone) {
        if !decode_lanes(lanes, chunks, &group, starts, out, &mut scratch) {
            return false;
        }
    }
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

/// As many chunks as pay for all lanes, the others running along for nothing.
pub(crate) const LANES_WORTHWHILE: usize = 4;

/// Divides `in_lanes` into groups of eight. Too few for the last one go to `alone`; else its last one is repeated,
/// which does the same work twice over.
pub(crate) fn groups(in_lanes: &[usize], alone: &mut Vec<usize>) -> Vec<[usize; N_LANES]> {
    let (groups, rest) = in_lanes.as_chunks::<N_LANES>();
    let mut out = groups.to_vec();
    match rest {
        [.., last] if rest.len() >= LANES_WORTHWHILE => {
            let mut group = [*last; N_LANES];
            group[..rest.len()].copy_from_slice(rest);
            out.push(group);
        }
        _ => alone.extend_from_slice(rest),
    }
    out
}

/// Decodes eight chunks side by side.
fn decode_lanes(
    lanes: Lanes,
    chunks: &[&[u8]],
    group: &[usize; N_LANES],
    starts: &[usize],
    out: &mut SampleBatch,
    scratch: &mut Vec<u8>,
) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: a `Lanes` is only made where the CPU has the features that its `decode` is compiled for.
        unsafe {
            match lanes {
                Lanes::Eight => lanes::decode(chunks, group, starts, out, scratch),
                Lanes::TwiceFour => quads::decode(chunks, group, starts, out, scratch),
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (lanes, chunks, group, starts, out, scratch);
        false
    }
}

/// Decodes one chunk with exactly `n` samples into the spare room of `out`, `start` samples behind its end.
fn decode_at(data: &[u8], start: usize, n: usize, out: &mut SampleBatch) -> bool {
    let mut columns = Columns::at(out, start, n);
    let ok = crate::xor::walk::<true>(data, &mut columns).is_ok();
    columns.forget() == n && ok
}
