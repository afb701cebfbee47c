//! Mathematical functions whose results equal those of Go 1.26 on amd64 to the bit.
//!
//! Neither the C library nor the `libm` crate agrees with Go, so the methods and coefficients of Go's `math` package
//! are followed here operation by operation. Products and sums are not fused except where Go's assembly for [`exp`]
//! does so. Rounding functions, `sqrt` and absolute values need no twin: they are exact everywhere.

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
pub use parts::{frexp, ldexp};
pub use pow::pow;
pub use trig::{acos, asin, atan, atan2, cos, sin, tan};

/// The NaN that Go's `math.NaN()` makes.
pub const NAN: f64 = f64::from_bits(0x7ff8_0000_0000_0001);

/// Remainder with the sign of `x`. Exact, so only the NaN needs care.
pub fn modulo(x: f64, y: f64) -> f64 {
    if y == 0.0 || x.is_infinite() || x.is_nan() || y.is_nan() { NAN } else { x % y }
}

/// The polynomial with these coefficients, the highest power's first, by Horner's rule.
fn polynomial(x: f64, coefficients: &[f64]) -> f64 {
    coefficients.iter().skip(1).fold(coefficients[0], |sum, c| sum * x + c)
}
