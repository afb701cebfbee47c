//! NEON: blocks of 4 compared in all rotations.

#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::compare_rest;

#[target_feature(enable = "neon")]
pub(super) fn compare<const IN: bool>(a: &[u32], b: &[u32], out: &mut Vec<u32>) {
    const N: usize = 4;
    const BITS: [u32; 4] = [1, 2, 4, 8];
    // SAFETY: four numbers lie behind the pointer.
    let bits = unsafe { vld1q_u32(BITS.as_ptr()) };
    let (mut i, mut j, mut seen) = (0, 0, 0u32);
    while i + N <= a.len() && j + N <= b.len() {
        // SAFETY: the loop's condition leaves 4 refs behind `i` in `a` and behind `j` in `b`.
        let (block_a, block_b) = unsafe { (vld1q_u32(a.as_ptr().add(i)), vld1q_u32(b.as_ptr().add(j))) };
        let mut equal = vceqq_u32(block_a, block_b);
        equal = vorrq_u32(equal, vceqq_u32(block_a, vextq_u32::<1>(block_b, block_b)));
        equal = vorrq_u32(equal, vceqq_u32(block_a, vextq_u32::<2>(block_b, block_b)));
        equal = vorrq_u32(equal, vceqq_u32(block_a, vextq_u32::<3>(block_b, block_b)));
        seen |= vaddvq_u32(vandq_u32(equal, bits));
        let (max_a, max_b) = (a[i + N - 1], b[j + N - 1]);
        if max_a <= max_b {
            for k in 0..N {
                if (seen >> k & 1 == 1) == IN {
                    out.push(a[i + k]);
                }
            }
            i += N;
            seen = 0;
        }
        j += if max_b <= max_a { N } else { 0 };
    }
    let block = if seen == 0 { 0 } else { N };
    compare_rest::<IN>(&a[i..], &b[j..], block, seen, out);
}
