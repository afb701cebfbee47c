//! AVX2 and AVX-512: a block of one list is compared with a block of the other in all rotations, and what was found is
//! pressed together.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::compare_rest;

#[target_feature(enable = "avx2")]
pub(super) fn expand_avx2(stored: &[[u8; 4]], out: &mut Vec<u32>) {
    super::scalar::expand(stored, out);
}

#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn expand_avx512(stored: &[[u8; 4]], out: &mut Vec<u32>) {
    super::scalar::expand(stored, out);
}

/// Blocks of 16.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn compare_avx512<const IN: bool>(a: &[u32], b: &[u32], out: &mut Vec<u32>) {
    const N: usize = 16;
    out.reserve(a.len() + N);
    let rotate = _mm512_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0);
    let (mut i, mut j, mut seen) = (0, 0, 0u16);
    while i + N <= a.len() && j + N <= b.len() {
        // SAFETY: the loop's condition leaves 16 refs behind `i` in `a` and behind `j` in `b`.
        let (block_a, mut block_b) = unsafe {
            (_mm512_loadu_si512(a.as_ptr().add(i).cast()), _mm512_loadu_si512(b.as_ptr().add(j).cast()))
        };
        for _ in 0..N {
            seen |= _mm512_cmpeq_epi32_mask(block_a, block_b);
            block_b = _mm512_permutexvar_epi32(rotate, block_b);
        }
        let (max_a, max_b) = (a[i + N - 1], b[j + N - 1]);
        if max_a <= max_b {
            let keep = if IN { seen } else { !seen };
            let packed = _mm512_maskz_compress_epi32(keep, block_a);
            let len = out.len();
            // SAFETY: at most `i` refs were pushed before, whatever the order of the lists, and `reserve` asked for 16
            // more than `a` has; of the 16 written, `count_ones` are counted, which `compress` put in front.
            unsafe {
                _mm512_storeu_si512(out.as_mut_ptr().add(len).cast(), packed);
                out.set_len(len + keep.count_ones() as usize);
            }
            i += N;
            seen = 0;
        }
        j += if max_b <= max_a { N } else { 0 };
    }
    let block = if seen == 0 { 0 } else { N };
    compare_rest::<IN>(&a[i..], &b[j..], block, u32::from(seen), out);
}

/// For each set of lanes, which lanes those are, in order.
static LANES: [[u32; 8]; 256] = lanes();

const fn lanes() -> [[u32; 8]; 256] {
    let mut table = [[0; 8]; 256];
    let mut mask = 0;
    while mask < 256 {
        let (mut lane, mut n) = (0, 0);
        while lane < 8 {
            if mask >> lane & 1 == 1 {
                table[mask][n] = lane;
                n += 1;
            }
            lane += 1;
        }
        mask += 1;
    }
    table
}

/// Blocks of 8.
#[target_feature(enable = "avx2")]
pub(super) fn compare_avx2<const IN: bool>(a: &[u32], b: &[u32], out: &mut Vec<u32>) {
    const N: usize = 8;
    out.reserve(a.len() + N);
    let rotate = _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 0);
    let (mut i, mut j, mut seen) = (0, 0, 0u8);
    while i + N <= a.len() && j + N <= b.len() {
        // SAFETY: the loop's condition leaves 8 refs behind `i` in `a` and behind `j` in `b`.
        let (block_a, mut block_b) = unsafe {
            (_mm256_loadu_si256(a.as_ptr().add(i).cast()), _mm256_loadu_si256(b.as_ptr().add(j).cast()))
        };
        let mut equal = _mm256_setzero_si256();
        for _ in 0..N {
            equal = _mm256_or_si256(equal, _mm256_cmpeq_epi32(block_a, block_b));
            block_b = _mm256_permutevar8x32_epi32(block_b, rotate);
        }
        seen |= _mm256_movemask_ps(_mm256_castsi256_ps(equal)) as u8;
        let (max_a, max_b) = (a[i + N - 1], b[j + N - 1]);
        if max_a <= max_b {
            let keep = if IN { seen } else { !seen };
            let len = out.len();
            // SAFETY: a row of `LANES` has 8 numbers. At most `i` refs were pushed before, whatever the order of the
            // lists, and `reserve` asked for 8 more than `a` has; of the 8 written, `count_ones` are counted, which the
            // permutation put in front.
            unsafe {
                let order = _mm256_loadu_si256(LANES[keep as usize].as_ptr().cast());
                let packed = _mm256_permutevar8x32_epi32(block_a, order);
                _mm256_storeu_si256(out.as_mut_ptr().add(len).cast(), packed);
                out.set_len(len + keep.count_ones() as usize);
            }
            i += N;
            seen = 0;
        }
        j += if max_b <= max_a { N } else { 0 };
    }
    let block = if seen == 0 { 0 } else { N };
    compare_rest::<IN>(&a[i..], &b[j..], block, u32::from(seen), out);
}
