//! Eight XOR chunks at once, one in each 64-bit lane of AVX-512 registers.
//!
//! Every step decodes one sample of each chunk without a branch on the data (but for rare long fields); eight steps
//! are turned over together, so that each chunk's samples are stored with one instruction.

use std::arch::x86_64::*;

use super::{N_LANES, load};
use crate::SampleBatch;

/// State of all chunks, a lane each.
struct Lanes {
    /// Position of the next bit in the scratch memory.
    position: __m512i,
    /// Position behind the last bit.
    end: __m512i,
    t: __m512i,
    delta: __m512i,
    bits: __m512i,
    /// Leading zeros of the last window.
    lead: __m512i,
    /// Its size in bits.
    size: __m512i,
    /// The top `size` bits, or none for a window that reaches over 64 bits.
    mask: __m512i,
}

/// Decodes the chunks `chunks[group[k]]` into the spare room of `out`, chunk `i` from `starts[i]` samples behind its
/// end on. Answers `false` when one is damaged.
///
/// # Safety
/// The CPU must have AVX-512 F, BW, CD and DQ, LZCNT, BMI1 and BMI2.
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,lzcnt,bmi1,bmi2")]
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
    let Some(mut lanes) = load(&group.map(|chunk| chunks[chunk]), first, scratch) else { return false };
    let timestamps = out.timestamps.spare_capacity_mut();
    let values = out.values.spare_capacity_mut();
    for (lane, chunk) in group.iter().enumerate() {
        // Everything stored below lies in these ranges.
        assert!(starts[*chunk] + counts[lane] <= timestamps.len().min(values.len()));
    }
    let counts_v = load_array(counts.map(|n| n as i64));
    let mut i = 2;
    while i < n_max {
        let mut ts = [_mm512_setzero_si512(); 8];
        let mut vs = ts;
        for step in 0..8 {
            let active = _mm512_cmpgt_epi64_mask(counts_v, _mm512_set1_epi64((i + step) as i64));
            // SAFETY: every position is at most 145 bits behind its chunk's end, inside the padding: `advance`
            // answers `false` once an active lane is past its end, and an inactive lane stays where it is.
            if !unsafe { lanes.advance(active, scratch) } {
                return false;
            }
            ts[step] = lanes.t;
            vs[step] = lanes.bits;
        }
        let (ts, vs) = (transpose(ts), transpose(vs));
        for lane in 0..N_LANES {
            let n = counts[lane].saturating_sub(i).min(8);
            let at = starts[group[lane]] + i;
            let keep = ((1u16 << n) - 1) as __mmask8;
            // SAFETY: with `keep` only samples `i..i + n` of the chunk are stored, which are below its count and
            // so inside the ranges checked above.
            unsafe {
                _mm512_mask_storeu_epi64(timestamps.as_mut_ptr().wrapping_add(at).cast(), keep, ts[lane]);
                _mm512_mask_storeu_epi64(values.as_mut_ptr().wrapping_add(at).cast(), keep, vs[lane]);
            }
        }
        i += 8;
    }
    true
}

/// Sets up the lanes; see [`load::columns`].
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq")]
fn load(
    chunks: &[&[u8]; N_LANES],
    first: impl FnMut(usize, usize, i64, u64),
    scratch: &mut Vec<u8>,
) -> Option<Lanes> {
    let columns = load::columns(chunks, first, scratch)?;
    let [position, end, t, delta, bits, lead, size] = columns.map(|column| load_array(column));
    let mask = window_mask(lead, size);
    Some(Lanes { position, end, t, delta, bits, lead, size, mask })
}

#[target_feature(enable = "avx512f")]
fn load_array(values: [i64; N_LANES]) -> __m512i {
    // SAFETY: the array is 64 bytes long.
    unsafe { _mm512_loadu_si512(values.as_ptr().cast()) }
}

/// The top `size` bits, or none where the window reaches over 64 bits.
#[target_feature(enable = "avx512f")]
fn window_mask(lead: __m512i, size: __m512i) -> __m512i {
    let c64 = _mm512_set1_epi64(64);
    let fits = _mm512_cmple_epi64_mask(_mm512_add_epi64(lead, size), c64);
    _mm512_maskz_sllv_epi64(fits, _mm512_set1_epi64(-1), _mm512_sub_epi64(c64, size))
}

impl Lanes {
    /// Decodes one sample of each active lane; `false` when a lane is past its end.
    ///
    /// # Safety
    /// The CPU must have the features; no position may be more than [`load::PADDING`] less 24 bytes behind its chunk.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq")]
    unsafe fn advance(&mut self, active: __mmask8, scratch: &[u8]) -> bool {
        let one = _mm512_set1_epi64(1);
        let c64 = _mm512_set1_epi64(64);
        // SAFETY: as promised by the caller.
        let window = unsafe { window(self.position, scratch) };
        let ones = _mm512_lzcnt_epi64(_mm512_xor_si512(window, _mm512_set1_epi64(-1)));
        let ones = _mm512_min_epu64(ones, _mm512_set1_epi64(4));
        let prefix = _mm512_permutexvar_epi64(ones, _mm512_setr_epi64(1, 2, 3, 4, 4, 4, 4, 4));
        let size = _mm512_permutexvar_epi64(ones, _mm512_setr_epi64(0, 14, 17, 20, 64, 64, 64, 64));
        let up = _mm512_sub_epi64(c64, size);
        // Shifted by one: the field less one is ordinary two's complement. A size of 0 gives -1 + 1.
        let field = _mm512_srlv_epi64(_mm512_sllv_epi64(window, prefix), up);
        let field = _mm512_sllv_epi64(_mm512_sub_epi64(field, one), up);
        let mut dod = _mm512_add_epi64(_mm512_srav_epi64(field, up), one);
        let none = _mm512_testn_epi64_mask(ones, ones);
        dod = _mm512_mask_mov_epi64(dod, none, _mm512_setzero_si512());
        let mut used = _mm512_add_epi64(prefix, size);
        let mut control = _mm512_sllv_epi64(window, used);
        let long = _mm512_cmpeq_epi64_mask(ones, _mm512_set1_epi64(4)) & active;
        if long != 0 {
            let at = _mm512_add_epi64(self.position, _mm512_set1_epi64(4));
            // SAFETY: 4 and 68 bits further than `position`: inside the padding.
            unsafe {
                dod = _mm512_mask_mov_epi64(dod, long, window64(at, scratch));
                let behind = _mm512_add_epi64(self.position, _mm512_set1_epi64(68));
                control = _mm512_mask_mov_epi64(control, long, window_where(long, behind, scratch));
            }
        }
        self.delta = _mm512_add_epi64(self.delta, dod);
        self.t = _mm512_add_epi64(self.t, self.delta);

        let changed = _mm512_movepi64_mask(control) & active;
        if changed != 0 {
            let second = _mm512_slli_epi64::<1>(control);
            let renew = _mm512_movepi64_mask(second) & changed;
            used = _mm512_mask_add_epi64(used, changed, used, one);
            if renew != 0 {
                let lead = _mm512_srli_epi64::<59>(_mm512_slli_epi64::<2>(control));
                let size = _mm512_srli_epi64::<58>(_mm512_slli_epi64::<7>(control));
                let size = _mm512_mask_mov_epi64(size, _mm512_testn_epi64_mask(size, size), c64);
                self.lead = _mm512_mask_mov_epi64(self.lead, renew, lead);
                self.size = _mm512_mask_mov_epi64(self.size, renew, size);
                self.mask = window_mask(self.lead, self.size);
                used = _mm512_mask_add_epi64(used, renew, used, _mm512_set1_epi64(11));
            }
            let at = _mm512_add_epi64(_mm512_add_epi64(self.position, used), one);
            // SAFETY: at most 81 bits further than `position`: inside the padding.
            let field = unsafe { value_field(at, self.size, changed, scratch) };
            let xor = _mm512_srlv_epi64(_mm512_and_si512(field, self.mask), self.lead);
            self.bits = _mm512_mask_xor_epi64(self.bits, changed, self.bits, xor);
            used = _mm512_mask_add_epi64(used, changed, used, self.size);
        }
        used = _mm512_add_epi64(used, one);
        self.position = _mm512_mask_add_epi64(self.position, active, self.position, used);
        _mm512_mask_cmpgt_epi64_mask(active, self.position, self.end) == 0
    }
}

/// The bits of values at `at`, left-aligned; all of the `size` bits are right.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
unsafe fn value_field(at: __m512i, size: __m512i, lanes: __mmask8, scratch: &[u8]) -> __m512i {
    let within = _mm512_and_si512(at, _mm512_set1_epi64(7));
    let over = _mm512_mask_cmpgt_epi64_mask(lanes, _mm512_add_epi64(within, size), _mm512_set1_epi64(64));
    // SAFETY: as promised by the caller.
    unsafe { if over == 0 { window_where(lanes, at, scratch) } else { window64(at, scratch) } }
}

/// The bits at each position, left-aligned; at least 57 are right.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn window(position: __m512i, scratch: &[u8]) -> __m512i {
    let byte = _mm512_srli_epi64::<3>(position);
    let within = _mm512_and_si512(position, _mm512_set1_epi64(7));
    // SAFETY: as promised by the caller, eight bytes from each position on are inside `scratch`.
    let word = unsafe { _mm512_i64gather_epi64::<1>(byte, scratch.as_ptr().cast()) };
    _mm512_sllv_epi64(swap_bytes(word), within)
}

/// [`window`] of some lanes, 0 in the others.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn window_where(lanes: __mmask8, position: __m512i, scratch: &[u8]) -> __m512i {
    let byte = _mm512_srli_epi64::<3>(position);
    let within = _mm512_and_si512(position, _mm512_set1_epi64(7));
    let zero = _mm512_setzero_si512();
    // SAFETY: as promised by the caller, eight bytes from each of these positions on are inside `scratch`.
    let word = unsafe { _mm512_mask_i64gather_epi64::<1>(zero, lanes, byte, scratch.as_ptr().cast()) };
    _mm512_sllv_epi64(swap_bytes(word), within)
}

/// The 64 bits at each position.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn window64(position: __m512i, scratch: &[u8]) -> __m512i {
    let within = _mm512_and_si512(position, _mm512_set1_epi64(7));
    let next = _mm512_add_epi64(_mm512_srli_epi64::<3>(position), _mm512_set1_epi64(1));
    // SAFETY: as promised by the caller; the word one byte further is inside the padding too.
    let (head, next) =
        unsafe { (window(position, scratch), _mm512_i64gather_epi64::<1>(next, scratch.as_ptr().cast())) };
    let ninth = _mm512_and_si512(swap_bytes(next), _mm512_set1_epi64(0xff));
    _mm512_or_si512(head, _mm512_srli_epi64::<8>(_mm512_sllv_epi64(ninth, within)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn swap_bytes(words: __m512i) -> __m512i {
    let order = _mm512_broadcast_i32x4(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    _mm512_shuffle_epi8(words, order)
}

/// Rows become columns: element `j` of row `i` becomes element `i` of row `j`.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(r: [__m512i; 8]) -> [__m512i; 8] {
    let low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    let high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    let even = [0, 2, 4, 6].map(|i| _mm512_unpacklo_epi64(r[i], r[i + 1]));
    let odd = [0, 2, 4, 6].map(|i| _mm512_unpackhi_epi64(r[i], r[i + 1]));
    let quads = |pairs: [__m512i; 4], order| {
        let front = _mm512_permutex2var_epi64(pairs[0], order, pairs[1]);
        let back = _mm512_permutex2var_epi64(pairs[2], order, pairs[3]);
        (_mm512_shuffle_i64x2::<0x44>(front, back), _mm512_shuffle_i64x2::<0xee>(front, back))
    };
    let ((c0, c4), (c2, c6)) = (quads(even, low), quads(even, high));
    let ((c1, c5), (c3, c7)) = (quads(odd, low), quads(odd, high));
    [c0, c1, c2, c3, c4, c5, c6, c7]
}
