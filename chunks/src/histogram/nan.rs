//! Sums and differences with the NaN that upstream gets on x86-64. Rust leaves the sign and payload of a NaN open: a compiler
//! that turns `a - b` into `a + -b` gives the NaN of `b` another sign, and blocks would differ by how they were compiled.

/// The NaN of an operation without a value, infinity less infinity.
const INVALID: f64 = f64::from_bits(0xfff8_0000_0000_0000);
/// Tells a quiet NaN from a signalling one.
const QUIET: u64 = 1 << 51;

/// `a + b`.
#[inline]
pub(super) fn sum(a: f64, b: f64) -> f64 {
    result(a, b, a + b)
}

/// `a - b`.
#[inline]
pub(super) fn difference(a: f64, b: f64) -> f64 {
    result(a, b, a - b)
}

/// `-a`, but a NaN keeps its sign, as it does when it is multiplied by -1.
#[inline]
pub(super) fn negated(a: f64) -> f64 {
    if a.is_nan() { quiet(a) } else { -a }
}

/// A NaN is that of the first operand that is one, else [`INVALID`].
#[inline]
fn result(a: f64, b: f64, result: f64) -> f64 {
    if !result.is_nan() {
        result
    } else if a.is_nan() {
        quiet(a)
    } else if b.is_nan() {
        quiet(b)
    } else {
        INVALID
    }
}

fn quiet(nan: f64) -> f64 {
    f64::from_bits(nan.to_bits() | QUIET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_keeps_its_bits() {
        let (plus, minus) = (f64::from_bits(0x7ff8_0000_0000_0001), f64::from_bits(0xfff8_0000_0000_0002));
        let infinity = f64::INFINITY;
        for (found, expected) in [
            (difference(infinity, infinity), INVALID),
            (sum(infinity, -infinity), INVALID),
            (difference(1.0, minus), minus),
            (difference(1.0, plus), plus),
            (difference(minus, plus), minus),
            (sum(plus, minus), plus),
            (sum(f64::from_bits(0x7ff0_0000_0000_0001), 1.0), plus),
            (negated(minus), minus),
            (negated(0.0), -0.0),
            (sum(1.0, infinity), infinity),
            (difference(1.5, 0.5), 1.0),
        ] {
            assert_eq!(found.to_bits(), expected.to_bits(), "{found} {expected}");
        }
    }
}
