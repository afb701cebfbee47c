//! Hyperbolic functions and their inverses. Go: `math/sinh.go` (Hart & Cheney 2029), `tanh.go` (Cephes), `asinh.go`,
//! `acosh.go`, `atanh.go` (FreeBSD).

use std::f64::consts::LN_2;

use super::log::ln_1p;
use super::{NAN, exp, ln, polynomial};

const NEAR_ZERO: f64 = 1.0 / (1u64 << 28) as f64;
const LARGE: f64 = (1u64 << 28) as f64;

/// The hyperbolic sine.
pub fn sinh(x: f64) -> f64 {
    const P: [f64; 4] = [
        -0.263_056_321_339_749_706_281_948_9e+2,
        -0.289_421_135_598_956_380_728_466_036_6e+4,
        -0.899_127_202_203_950_935_539_801_351_1e+5,
        -0.630_767_364_049_771_699_118_478_725_1e+6,
    ];
    const Q: [f64; 4] = [
        1.0,
        -0.173_678_953_558_233_699_533_450_911e+3,
        0.152_151_737_879_001_907_069_648_517_6e+5,
        -0.630_767_364_049_771_699_121_207_727_7e+6,
    ];
    let magnitude = if x < 0.0 { -x } else { x };
    let value = if magnitude > 21.0 {
        exp(magnitude) * 0.5
    } else if magnitude > 0.5 {
        let power = exp(magnitude);
        (power - 1.0 / power) * 0.5
    } else {
        let square = magnitude * magnitude;
        polynomial(square, &P) * magnitude / polynomial(square, &Q)
    };
    if x < 0.0 { -value } else { value }
}

/// The hyperbolic cosine.
pub fn cosh(x: f64) -> f64 {
    let power = exp(x.abs());
    if x.abs() > 21.0 { power * 0.5 } else { (power + 1.0 / power) * 0.5 }
}

/// The hyperbolic tangent.
pub fn tanh(x: f64) -> f64 {
    const P: [f64; 3] =
        [-9.643_991_794_250_522_386_28e-1, -9.928_772_310_019_185_865_64e1, -1.614_687_684_417_084_479_52e3];
    const Q: [f64; 4] =
        [1.0, 1.128_116_784_916_329_314_02e2, 2.235_488_390_601_004_485_83e3, 4.844_063_053_251_254_860_48e3];
    const LOG_MAX: f64 = 8.802_969_193_111_305_429_598_8e+01;
    let magnitude = x.abs();
    if magnitude > 0.5 * LOG_MAX {
        return 1f64.copysign(x);
    }
    if magnitude >= 0.625 {
        let value = 1.0 - 2.0 / (exp(2.0 * magnitude) + 1.0);
        return if x < 0.0 { -value } else { value };
    }
    if x == 0.0 {
        return x;
    }
    let square = x * x;
    x + x * square * polynomial(square, &P) / polynomial(square, &Q)
}

/// The inverse of [`sinh`].
pub fn asinh(x: f64) -> f64 {
    if !x.is_finite() {
        return x;
    }
    let m = x.abs();
    let value = if m > LARGE {
        ln(m) + LN_2
    } else if m > 2.0 {
        ln(2.0 * m + 1.0 / ((m * m + 1.0).sqrt() + m))
    } else if m < NEAR_ZERO {
        m
    } else {
        ln_1p(m + m * m / (1.0 + (1.0 + m * m).sqrt()))
    };
    value.copysign(x)
}

/// The inverse of [`cosh`].
pub fn acosh(x: f64) -> f64 {
    if x < 1.0 || x.is_nan() {
        NAN
    } else if x == 1.0 {
        0.0
    } else if x >= LARGE {
        ln(x) + LN_2
    } else if x > 2.0 {
        ln(2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt()))
    } else {
        let t = x - 1.0;
        ln_1p(t + (2.0 * t + t * t).sqrt())
    }
}

/// The inverse of [`tanh`].
pub fn atanh(x: f64) -> f64 {
    if !(-1.0..=1.0).contains(&x) {
        return NAN;
    }
    let m = x.abs();
    let value = if m == 1.0 {
        f64::INFINITY
    } else if m < NEAR_ZERO {
        m
    } else if m < 0.5 {
        let double = m + m;
        0.5 * ln_1p(double + double * m / (1.0 - m))
    } else {
        0.5 * ln_1p((m + m) / (1.0 - m))
    };
    value.copysign(x)
}
