//! Eight XOR chunks at once in AVX2 registers: two groups of four 64-bit lanes, whose steps take turns so that one
//! does not wait for the other.
//!
//! As [`super::lanes`], without masks, gathers (slow on some of these CPUs) and counts of leading zeros: the top four
//! bits choose prefix and size of the time field from a table.

use std::arch::x86_64::*;

use super::{N_LANES, load};
use crate::SampleBatch;

/// Chunks in one register.
const N: usize = 4;

/// State of four chunks, a lane each.
struct Quad {
    /// Position of the next bit in the scratch memory.
    position: __m256i,
    /// Position behind the last bit.
    end: __m256i,
    /// Samples of the chunk.
    counts: __m256i,
    t: __m256i,
    delta: __m256i,
    bits: __m256i,
    /// Leading zeros of the last window.
    lead: __m256i,
    /// Its size in bits.
    size: __m256i,
    /// The top `size` bits, or none for a window that reaches over 64 bits.
    mask: __m256i,
}

/// Decodes the chunks `chunks[group[k]]` into the spare room of `out`, chunk `i` from `starts[i]` samples behind its
/// end on. Answers `false` when one is damaged.
///
/// # Safety
/// The CPU must have AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn decode(
    chunks: &[&[u8]],
    group: &[usize; N_LANES],
    starts: &[usize],
    out: &mut SampleBatch,
    scratch: &mut Vec<u8>,
) -> bool {
    let counts = group.map(|chunk| starts[chunk + 1] - starts[chunk]);
    let n_max = counts.iter().copied().max().unwrap_or(0);
    let first = |lane: usize, i: usize, t: i64, bits: u64| {
        let at = starts[group[lane]] + i;
        out.timestamps.spare_capacity_mut()[at].write(t);
        out.values.spare_capacity_mut()[at].write(f64::from_bits(bits));
    };
    let Some(columns) = load::columns(&group.map(|chunk| chunks[chunk]), first, scratch) else {
        return false;
    };
    let mut quads = [Quad::new(&columns, &counts, 0), Quad::new(&columns, &counts, N)];
    let timestamps = out.timestamps.spare_capacity_mut();
    let values = out.values.spare_capacity_mut();
    for (lane, chunk) in group.iter().enumerate() {
        // Everything stored below lies in these ranges.
        assert!(starts[*chunk] + counts[lane] <= timestamps.len().min(values.len()));
    }
    let base = scratch.as_ptr();
    let mut i = 2;
    while i < n_max {
        let mut ts = [[_mm256_setzero_si256(); N]; 2];
        let mut vs = ts;
        for step in 0..N {
            let mut past = 0;
            for (k, quad) in quads.iter_mut().enumerate() {
                // SAFETY: the CPU has AVX2. Every position is at most 145 bits behind its chunk's end, inside the
                // padding: decoding ends once an active lane is past its end, and an inactive lane stays where it is.
                past |= unsafe { quad.advance((i + step) as i64, base) };
                ts[k][step] = quad.t;
                vs[k][step] = quad.bits;
            }
            if past != 0 {
                return false;
            }
        }
        for (k, (ts, vs)) in ts.into_iter().zip(vs).enumerate() {
            let (ts, vs) = (transpose(ts), transpose(vs));
            for (j, lane) in (k * N..(k + 1) * N).enumerate() {
                let n = counts[lane].saturating_sub(i).min(N) as i64;
                let at = starts[group[lane]] + i;
                let keep = _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
                // SAFETY: with `keep` only samples `i..i + n` of the chunk are stored, which are below its count and
                // so inside the ranges checked above.
                unsafe {
                    _mm256_maskstore_epi64(timestamps.as_mut_ptr().wrapping_add(at).cast(), keep, ts[j]);
                    _mm256_maskstore_epi64(values.as_mut_ptr().wrapping_add(at).cast(), keep, vs[j]);
                }
            }
        }
        i += N;
    }
    true
}

/// Four of the numbers, from `at` on.
#[inline]
#[target_feature(enable = "avx2")]
fn load_array(values: &[i64; N_LANES], at: usize) -> __m256i {
    _mm256_setr_epi64x(values[at], values[at + 1], values[at + 2], values[at + 3])
}

/// The top `size` bits, or none where the window reaches over 64 bits.
#[inline]
#[target_feature(enable = "avx2")]
fn window_mask(lead: __m256i, size: __m256i) -> __m256i {
    let c64 = _mm256_set1_epi64x(64);
    let over = _mm256_cmpgt_epi64(_mm256_add_epi64(lead, size), c64);
    _mm256_andnot_si256(over, _mm256_sllv_epi64(_mm256_set1_epi64x(-1), _mm256_sub_epi64(c64, size)))
}

/// Whether a lane is chosen.
#[inline]
#[target_feature(enable = "avx2")]
fn any(mask: __m256i) -> bool {
    _mm256_testz_si256(mask, mask) == 0
}

impl Quad {
    /// The lanes from `at` on.
    #[target_feature(enable = "avx2")]
    fn new(columns: &[[i64; N_LANES]; 7], counts: &[usize; N_LANES], at: usize) -> Quad {
        let counts = load_array(&counts.map(|n| n as i64), at);
        let [position, end, t, delta, bits, lead, size] =
            columns.each_ref().map(|column| load_array(column, at));
        let mask = window_mask(lead, size);
        Quad { position, end, counts, t, delta, bits, lead, size, mask }
    }

    /// Decodes sample `i` of each chunk that has it; not 0 when one of them is past its end.
    ///
    /// # Safety
    /// The CPU must have AVX2; no position in the memory at `base` may be more than [`load::PADDING`] less 24 bytes
    /// behind its chunk.
    #[inline(always)]
    unsafe fn advance(&mut self, i: i64, base: *const u8) -> i32 {
        // SAFETY: as promised by the caller; nothing is read more than 81 bits further than `position`.
        unsafe {
            let zero = _mm256_setzero_si256();
            let one = _mm256_set1_epi64x(1);
            let c64 = _mm256_set1_epi64x(64);
            let active = _mm256_cmpgt_epi64(self.counts, _mm256_set1_epi64x(i));
            let window = window(self.position, base);
            // Only the lowest byte of a lane looks something up: the high bit of the others asks for 0.
            let nibble = _mm256_or_si256(
                _mm256_srli_epi64::<60>(window),
                _mm256_set1_epi64x(0x8080_8080_8080_8000u64 as i64),
            );
            let prefixes =
                _mm256_broadcastsi128_si256(_mm_setr_epi8(1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4));
            let sizes = _mm256_broadcastsi128_si256(_mm_setr_epi8(
                0, 0, 0, 0, 0, 0, 0, 0, 14, 14, 14, 14, 17, 17, 20, 64,
            ));
            let prefix = _mm256_shuffle_epi8(prefixes, nibble);
            let size = _mm256_shuffle_epi8(sizes, nibble);
            let field = _mm256_srlv_epi64(_mm256_sllv_epi64(window, prefix), _mm256_sub_epi64(c64, size));
            let full = _mm256_sllv_epi64(one, size);
            let half = _mm256_srli_epi64::<1>(full);
            let mut dod = _mm256_sub_epi64(field, _mm256_and_si256(_mm256_cmpgt_epi64(field, half), full));
            let mut used = _mm256_add_epi64(prefix, size);
            let mut control = _mm256_sllv_epi64(window, used);
            let long = _mm256_and_si256(_mm256_cmpeq_epi64(size, c64), active);
            if any(long) {
                let at = _mm256_add_epi64(self.position, _mm256_set1_epi64x(4));
                dod = _mm256_blendv_epi8(dod, window64(at, base), long);
                let behind = _mm256_add_epi64(self.position, _mm256_and_si256(long, _mm256_set1_epi64x(68)));
                control = _mm256_blendv_epi8(control, self::window(behind, base), long);
            }
            self.delta = _mm256_add_epi64(self.delta, dod);
            self.t = _mm256_add_epi64(self.t, self.delta);
            let changed = _mm256_and_si256(_mm256_cmpgt_epi64(zero, control), active);
            if any(changed) {
                let renew =
                    _mm256_and_si256(changed, _mm256_cmpgt_epi64(zero, _mm256_slli_epi64::<1>(control)));
                used = _mm256_sub_epi64(used, changed);
                if any(renew) {
                    let lead = _mm256_srli_epi64::<59>(_mm256_slli_epi64::<2>(control));
                    let size = _mm256_srli_epi64::<58>(_mm256_slli_epi64::<7>(control));
                    let size = _mm256_or_si256(size, _mm256_and_si256(_mm256_cmpeq_epi64(size, zero), c64));
                    self.lead = _mm256_blendv_epi8(self.lead, lead, renew);
                    self.size = _mm256_blendv_epi8(self.size, size, renew);
                    self.mask = window_mask(self.lead, self.size);
                    used = _mm256_add_epi64(used, _mm256_and_si256(renew, _mm256_set1_epi64x(11)));
                }
                let at = _mm256_add_epi64(_mm256_add_epi64(self.position, used), one);
                let at = _mm256_blendv_epi8(self.position, at, changed);
                let within = _mm256_and_si256(at, _mm256_set1_epi64x(7));
                let over =
                    _mm256_and_si256(changed, _mm256_cmpgt_epi64(_mm256_add_epi64(within, self.size), c64));
                let field = if any(over) { window64(at, base) } else { self::window(at, base) };
                let xor = _mm256_srlv_epi64(_mm256_and_si256(field, self.mask), self.lead);
                self.bits = _mm256_xor_si256(self.bits, _mm256_and_si256(xor, changed));
                used = _mm256_add_epi64(used, _mm256_and_si256(changed, self.size));
            }
            used = _mm256_add_epi64(used, one);
            self.position = _mm256_add_epi64(self.position, _mm256_and_si256(active, used));
            let past = _mm256_and_si256(active, _mm256_cmpgt_epi64(self.position, self.end));
            _mm256_movemask_epi8(past)
        }
    }
}

/// The eight bytes at each offset.
#[inline(always)]
unsafe fn words(byte: __m256i, base: *const u8) -> __m256i {
    // SAFETY: as promised by the caller of `advance`, eight bytes from each place on are inside the scratch memory.
    unsafe {
        let low = _mm256_castsi256_si128(byte);
        let high = _mm256_extracti128_si256::<1>(byte);
        let at = |i: i64| base.offset(i as isize).cast::<i64>();
        let a = _mm_loadl_epi64(at(_mm_cvtsi128_si64(low)).cast());
        let b = _mm_loadl_epi64(at(_mm_extract_epi64::<1>(low)).cast());
        let c = _mm_loadl_epi64(at(_mm_cvtsi128_si64(high)).cast());
        let d = _mm_loadl_epi64(at(_mm_extract_epi64::<1>(high)).cast());
        _mm256_set_m128i(_mm_unpacklo_epi64(c, d), _mm_unpacklo_epi64(a, b))
    }
}

/// The bits at each position, left-aligned; at least 57 are right.
#[inline(always)]
unsafe fn window(position: __m256i, base: *const u8) -> __m256i {
    // SAFETY: as promised by the caller of `advance`, eight bytes from each place on are inside the scratch memory.
    unsafe {
        let within = _mm256_and_si256(position, _mm256_set1_epi64x(7));
        _mm256_sllv_epi64(swap_bytes(words(_mm256_srli_epi64::<3>(position), base)), within)
    }
}

/// The 64 bits at each position.
#[inline(always)]
unsafe fn window64(position: __m256i, base: *const u8) -> __m256i {
    // SAFETY: as promised by the caller of `advance`, eight bytes from each place on are inside the scratch memory.
    unsafe {
        let within = _mm256_and_si256(position, _mm256_set1_epi64x(7));
        let next = _mm256_add_epi64(_mm256_srli_epi64::<3>(position), _mm256_set1_epi64x(1));
        let ninth = _mm256_and_si256(swap_bytes(words(next, base)), _mm256_set1_epi64x(0xff));
        let tail = _mm256_srli_epi64::<8>(_mm256_sllv_epi64(ninth, within));
        _mm256_or_si256(window(position, base), tail)
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn swap_bytes(words: __m256i) -> __m256i {
    let order =
        _mm256_broadcastsi128_si256(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    _mm256_shuffle_epi8(words, order)
}

/// Rows become columns.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(r: [__m256i; 4]) -> [__m256i; 4] {
    let (a, b) = (_mm256_unpacklo_epi64(r[0], r[1]), _mm256_unpackhi_epi64(r[0], r[1]));
    let (c, d) = (_mm256_unpacklo_epi64(r[2], r[3]), _mm256_unpackhi_epi64(r[2], r[3]));
    [
        _mm256_permute2x128_si256::<0x20>(a, c),
        _mm256_permute2x128_si256::<0x20>(b, d),
        _mm256_permute2x128_si256::<0x31>(a, c),
        _mm256_permute2x128_si256::<0x31>(b, d),
    ]
}
