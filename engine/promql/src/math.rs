//! Mathematical functions whose results equal those of Go 1.26 on amd64 to the bit.
//!
//! Neither the C library nor the `libm` crate agrees with Go, so the methods and coefficients of Go's `math` package
//! are followed here operation by operation. Products and sums are not fused except where Go's assembly for [`exp`]
//! does so. Rounding, `sqrt` and absolute values are taken from Rust: they are exact everywhere.

// Coefficients are written with the digits that their sources publish.
#![allow(clippy::excessive_precision)]

mod exp;
mod hyperbolic;
mod log;
mod parts;
mod pow;
mod trig;

pub use exp::{exp, exp2};
pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use log::{ln, log2, log10};
pub(crate) use parts::{frexp, ldexp};
pub use pow::pow;
pub use trig::{acos, asin, atan, atan2, cos, sin, tan};

/// The NaN that Go's `math.NaN()` returns.
pub const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// Remainder with the sign of `x`. The result is exact, so only the bits of a NaN have to be Go's.
pub fn modulo(x: f64, y: f64) -> f64 {
    if y == 0.0 || x.is_infinite() || x.is_nan() || y.is_nan() { NAN } else { x % y }
}

/// Go's `math.Max`: a NaN wins over all but +Inf, and +0 is above -0.
pub(crate) fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return if a == f64::INFINITY || b == f64::INFINITY { f64::INFINITY } else { f64::NAN };
    }
    if a == 0.0 && b == 0.0 {
        return if a.is_sign_negative() { b } else { a };
    }
    if a > b { a } else { b }
}

/// Go's `math.Min`: a NaN wins over all but -Inf, and -0 is below +0.
pub(crate) fn min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        return if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY { f64::NEG_INFINITY } else { f64::NAN };
    }
    if a == 0.0 && b == 0.0 {
        return if a.is_sign_negative() { a } else { b };
    }
    if a < b { a } else { b }
}

/// Go's conversion of a float to a 64-bit integer on amd64: what does not fit becomes the smallest one.
pub(crate) fn to_i64(x: f64) -> i64 {
    if x.is_nan() || !(i64::MIN as f64..-(i64::MIN as f64)).contains(&x) {
        return i64::MIN;
    }
    x as i64
}

/// The polynomial with these coefficients, the highest power's first, by Horner's rule.
fn polynomial(x: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().skip(1).fold(coefficients[0], |sum, c| sum * x + c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_and_min_are_gos() {
        assert!(max(f64::NAN, 1.0).is_nan() && min(1.0, f64::NAN).is_nan());
        assert!(max(-0.0, 0.0).is_sign_positive() && min(0.0, -0.0).is_sign_negative());
        assert_eq!(max(f64::NAN, f64::INFINITY), f64::INFINITY);
    }

    #[test]
    fn what_does_not_fit_becomes_the_smallest_integer() {
        assert_eq!(to_i64(-1.5), -1);
        assert_eq!([f64::NAN, f64::INFINITY, 9.3e18].map(to_i64), [i64::MIN; 3]);
    }
}
