//! Adding one value many times, to the bit as one by one, without a chain of additions.

/// Whether `sum + value + value + ...` loses nothing: the numbers are integers and stay below 2^51.
#[inline(always)]
pub(super) fn adds_exactly(sum: f64, value: f64, n: usize) -> bool {
    // Adding and taking away 1.5 * 2^52 rounds numbers below 2^51 to integers.
    const LIMIT: f64 = 2_251_799_813_685_248.0;
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let is_integer = |x: f64| (x + ROUND) - ROUND == x;
    (sum.abs() + (value * n as f64).abs() < LIMIT) & is_integer(value) & is_integer(sum)
}

/// `sum + value + value + ...`, `n` times, to the bit.
#[inline(always)]
pub(super) fn add_times(sum: f64, value: f64, n: usize) -> f64 {
    if adds_exactly(sum, value, n) {
        return if n == 0 { sum } else { sum + value * n as f64 };
    }
    if n <= 4 {
        return (0..n).fold(sum, |sum, _| sum + value);
    }
    add_by_grid(sum, value, n)
}

/// All sums between two powers of two lie on one grid, and so each addition moves by the same number of its steps:
/// `value` rounded to the grid. Only where `value` lies in the middle between two of them the parity of the sum
/// decides, and the border itself has finer steps on one side; then, and where sums pass a power of two, half of the
/// additions are made one by one.
fn add_by_grid(mut sum: f64, value: f64, n: usize) -> f64 {
    let mut left = n;
    while left > 0 {
        let next = sum + value;
        if next.to_bits() == sum.to_bits() || !next.is_finite() {
            // It stays where it is: absorbed, infinite or NaN.
            return next;
        }
        let moved = next - sum;
        let end = sum + moved * left as f64;
        let binade = |x: f64| x.to_bits() >> 52;
        let step_half = f64::from_bits(((sum.to_bits() >> 52 & 0x7ff) << 52).saturating_sub(53 << 52));
        let is_tie = (value - moved).abs() == step_half;
        let on_border = end.to_bits() << 12 == 0;
        if binade(sum) == binade(next)
            && binade(sum) == binade(end)
            && step_half != 0.0
            && !is_tie
            && !on_border
        {
            return end;
        }
        let half = left.div_ceil(2);
        sum = (0..half).fold(sum, |sum, _| sum + value);
        left -= half;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(sum: f64, value: f64, n: usize) {
        let expected = (0..n).fold(sum, |sum, _| sum + value);
        let got = add_times(sum, value, n);
        let same = got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
        assert!(same, "{sum:e} + {n} * {value:e}: {got:e}, expected {expected:e}");
    }

    #[test]
    fn special_sums() {
        let specials = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            0.1,
            1.5,
            2.0,
            4.0,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            5e-324,
            1e-310,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            f64::EPSILON,
            0.5 * f64::EPSILON,
            1.5 * f64::EPSILON,
            1.0 - f64::EPSILON / 2.0,
            1.0 + f64::EPSILON,
            9_007_199_254_740_992.0,
            9_007_199_254_740_993.0,
            3e15,
        ];
        for sum in specials {
            for value in specials {
                for value in [value, -value] {
                    (0..40).chain([100, 1000]).for_each(|n| check(sum, value, n));
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn any_sum(sum in any::<u64>(), value in any::<u64>(), n in 0usize..200) {
            check(f64::from_bits(sum), f64::from_bits(value), n);
        }

        /// Values whose grids are close to each other, with few bits, so that ties are common.
        #[test]
        fn sums_of_like_size(
            a in 0u64..64, b in 0u64..64, exponent in -60i32..60, shift in 0u32..60, n in 0usize..200, down: bool,
        ) {
            let scale = 2f64.powi(exponent);
            let sum = scale * (1.0 + a as f64 * f64::EPSILON);
            let value = scale * (32 + b) as f64 / 2f64.powi(shift as i32);
            check(sum, if down { -value } else { value }, n);
            check(-sum, if down { -value } else { value }, n);
        }

        #[test]
        fn sums_of_decimals(cents in 1u32..1_000_000, start in 0u32..1_000_000, n in 0usize..200) {
            check(f64::from(start) / 100.0, f64::from(cents) / 1000.0, n);
        }
    }
}
