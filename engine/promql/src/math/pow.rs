//! Powers by squaring. Go: `math/pow.go`.

use super::{NAN, exp, frexp, ldexp, ln};

/// `x` to the power of `y`.
pub fn pow(x: f64, y: f64) -> f64 {
    match special(x, y) {
        Some(result) => result,
        None => general(x, y),
    }
}

/// The result for special arguments; `None` if both are finite and `x` is not 0.
fn special(x: f64, y: f64) -> Option<f64> {
    let result = if y == 0.0 || x == 1.0 {
        1.0
    } else if y == 1.0 {
        x
    } else if x.is_nan() || y.is_nan() {
        NAN
    } else if x == 0.0 {
        let magnitude: f64 = if y < 0.0 { f64::INFINITY } else { 0.0 };
        if x.is_sign_negative() && is_odd(y) { -magnitude } else { magnitude }
    } else if y.is_infinite() {
        power_without_end(x, y)
    } else if x == f64::NEG_INFINITY {
        pow(1.0 / x, -y)
    } else if x == f64::INFINITY {
        if y < 0.0 { 0.0 } else { f64::INFINITY }
    } else if y == 0.5 {
        go_sqrt(x)
    } else if y == -0.5 {
        1.0 / go_sqrt(x)
    } else {
        return None;
    };
    Some(result)
}

/// A square root whose NaN for negative numbers is the processor's, as in Go.
fn go_sqrt(x: f64) -> f64 {
    if x < 0.0 { -f64::from_bits(0x7ff8_0000_0000_0000) } else { x.sqrt() }
}

/// The limit for a power so large that it is even.
fn power_without_end(x: f64, y: f64) -> f64 {
    if x == -1.0 {
        1.0
    } else if (x.abs() < 1.0) == (y > 0.0) {
        0.0
    } else {
        f64::INFINITY
    }
}

fn general(x: f64, y: f64) -> f64 {
    let (mut whole, mut fraction) = (y.abs().trunc(), y.abs().fract());
    if fraction != 0.0 && x < 0.0 {
        return NAN;
    }
    if whole >= (1u64 << 63) as f64 {
        return power_without_end(x, y);
    }
    let (mut result, mut result_power) = (1.0, 0i32);
    if fraction != 0.0 {
        if fraction > 0.5 {
            fraction -= 1.0;
            whole += 1.0;
        }
        result = exp(fraction * ln(x));
    }
    let (mut square, mut square_power) = frexp(x);
    let mut bits = whole as i64;
    while bits != 0 {
        if !(-4096..=4096).contains(&square_power) {
            // At least one more factor follows, with which the result overflows or underflows.
            result_power += square_power;
            break;
        }
        if bits & 1 == 1 {
            result *= square;
            result_power += square_power;
        }
        square *= square;
        square_power *= 2;
        if square < 0.5 {
            square += square;
            square_power -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 {
        result = 1.0 / result;
        result_power = -result_power;
    }
    ldexp(result, result_power)
}

fn is_odd(x: f64) -> bool {
    x.abs() < (1u64 << 53) as f64 && x.fract() == 0.0 && x as i64 & 1 == 1
}
