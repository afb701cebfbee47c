//! Loops over columns, compiled for every CPU and once more for wider registers; the CPU decides at run time which runs.
//!
//! Each loop is plain code that the compiler turns into vector instructions. All versions give the same bits, since no
//! operation is reordered or fused.
#![allow(unsafe_code)]

use tithon_chunks::kahan_add;

/// Defines a function with the given body for every CPU, and once more for AVX-512 and AVX2.
macro_rules! wide {
    ($(#[$doc:meta])* fn $name:ident($($arg:ident: $type:ty),*) $(-> $out:ty)? $body:block) => {
        $(#[$doc])*
        pub(crate) fn $name($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            fn plain($($arg: $type),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $type),*) $(-> $out)? {
                    plain($($arg),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) $(-> $out)? {
                    plain($($arg),*)
                }
                if has_avx512() {
                    // SAFETY: the CPU has the features that the function is compiled for.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the CPU has the feature that the function is compiled for.
                    return unsafe { avx2($($arg),*) };
                }
            }
            plain($($arg),*)
        }
    };
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
}

wide! {
    /// Adds each value to the sum at the same index, with the compensation at that index.
    fn kahan_add_each(sums: &mut [f64], lost: &mut [f64], values: &[f64]) {
        for ((sum, c), v) in sums.iter_mut().zip(lost).zip(values) {
            (*sum, *c) = kahan_add(*v, *sum, *c);
        }
    }
}

wide! {
    /// Whether any value has exactly these bits.
    fn has_bits(values: &[f64], bits: u64) -> bool {
        values.chunks(256).any(|values| values.iter().fold(false, |any, v| any | (v.to_bits() == bits)))
    }
}

wide! {
    /// Whether any value is below the one before it.
    fn has_falls(values: &[f64]) -> bool {
        let later = values.get(1..).unwrap_or_default();
        let mut pairs = values.chunks(256).zip(later.chunks(256));
        pairs.any(|(a, b)| a.iter().zip(b).fold(false, |any, (a, b)| any | (b < a)))
    }
}

wide! {
    /// Whether any value is better than the held one at the same index: above it (`topk`) or below it. Any number is better
    /// than a NaN.
    fn any_better(held: &[f64], values: &[f64], topk: bool) -> bool {
        let pairs = held.iter().zip(values);
        if topk {
            pairs.fold(false, |any, (held, v)| any | (held < v) | (held.is_nan() & !v.is_nan()))
        } else {
            pairs.fold(false, |any, (held, v)| any | (held > v) | (held.is_nan() & !v.is_nan()))
        }
    }
}

wide! {
    /// How many times at the start of the list follow each other at a distance of `delta` milliseconds.
    fn evenly_spaced(times: &[i64], delta: i64) -> usize {
        let later = times.get(1..).unwrap_or_default();
        let mut n = 1;
        for (a, b) in times.chunks(64).zip(later.chunks(64)) {
            let gaps = || a.iter().zip(b).map(|(a, b)| b.wrapping_sub(*a) == delta);
            if !gaps().fold(true, |all, same| all & same) {
                return n + gaps().take_while(|same| *same).count();
            }
            n += b.len();
        }
        n.min(times.len())
    }
}

/// The place of samples in windows that all hold samples at the same distances, in seconds: the input of `rate`'s
/// extrapolation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extrapolation {
    /// The distance from the first to the last sample; not 0.
    pub(crate) sampled: f64,
    /// The distance from the window's left end to the first sample, or half the average gap if that distance is large.
    pub(crate) to_start: f64,
    /// The distance from the last sample to the window's right end, or half the average gap.
    pub(crate) to_end: f64,
    /// The divisor of factors: the range for `rate`, 1 for `increase`.
    pub(crate) range: f64,
}

wide! {
    /// The extrapolated changes of a counter that is not reset in any of the windows: window `i` begins with the value
    /// `first[i * stride]` and ends with `last[i * stride]`.
    fn rises(out: &mut [f64], first: &[f64], last: &[f64], stride: usize, extrapolation: Extrapolation) {
        let one = |out: &mut f64, first: f64, last: f64| {
            let change = last - first;
            let to_zero = extrapolation.sampled * (first / change);
            let clamps = (change > 0.0) & (first >= 0.0) & (to_zero < extrapolation.to_start);
            let to_start = if clamps { to_zero } else { extrapolation.to_start };
            let factor = (extrapolation.sampled + to_start + extrapolation.to_end) / extrapolation.sampled;
            *out = change * (factor / extrapolation.range);
        };
        if stride == 1 {
            out.iter_mut().zip(first).zip(last).for_each(|((out, first), last)| one(out, *first, *last));
        } else {
            let ends = first.iter().step_by(stride).zip(last.iter().step_by(stride));
            out.iter_mut().zip(ends).for_each(|(out, (first, last))| one(out, *first, *last));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn wide_loops_are_their_plain_ones(
            values in proptest::collection::vec(prop_oneof![
                4 => -1e9..1e9f64,
                1 => any::<u64>().prop_map(f64::from_bits),
            ], 0..400),
        ) {
            let n = values.len() / 3;
            let (mut sums, mut lost) = (values[..n].to_vec(), values[n..2 * n].to_vec());
            kahan_add_each(&mut sums, &mut lost, &values[2 * n..3 * n]);
            for i in 0..n {
                let (sum, c) = kahan_add(values[2 * n + i], values[i], values[n + i]);
                prop_assert_eq!((sum.to_bits(), c.to_bits()), (sums[i].to_bits(), lost[i].to_bits()));
            }
            let (held, offered) = (&values[..n], &values[n..2 * n]);
            for topk in [true, false] {
                let better = |(a, b): (&f64, &f64)| {
                    (if topk { a < b } else { a > b }) || (a.is_nan() && !b.is_nan())
                };
                prop_assert_eq!(any_better(held, offered, topk), held.iter().zip(offered).any(better));
            }
            prop_assert_eq!(has_falls(&values), values.windows(2).any(|pair| pair[1] < pair[0]));
            let wanted = values.last().map_or(1, |v| v.to_bits());
            prop_assert_eq!(has_bits(&values, wanted), !values.is_empty());
            prop_assert_eq!(has_bits(&values[..n], wanted), values[..n].iter().any(|v| v.to_bits() == wanted));
        }

        #[test]
        fn regular_times_are_counted(n in 0usize..300, m in 0usize..200, delta in 1i64..100, other in 1i64..100) {
            let mut times: Vec<i64> = (0..n as i64).map(|i| i * delta).collect();
            times.extend((1..=m as i64).map(|i| n as i64 * delta - delta + i * other));
            let model = 1 + times.windows(2).take_while(|pair| pair[1] - pair[0] == delta).count();
            prop_assert_eq!(evenly_spaced(&times, delta), model.min(times.len()));
        }
    }
}
