//! Exponential functions. Go: `math/exp_amd64.s` with FMA (N. Shibata, "Efficient evaluation methods of elementary
//! functions suitable for SIMD computation", 2010) and `math/exp.go` (FreeBSD's e_exp.c).

use std::f64::consts::LOG2_E;

use super::ldexp;

/// e to the power of `x`.
pub fn exp(x: f64) -> f64 {
    const OVERFLOW: f64 = 7.09782712893384e+02;
    const LN2_UPPER: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
    const LN2_LOWER: f64 = 0.282_352_905_630_315_771_225_884_481_750_134_360_255_254_120_68e-12;
    // 1/8! down to 1/1!, with 1/2! and 1/1! at the end.
    const TAYLOR: [f64; 8] = [
        2.480_158_730_158_730_158_7e-5,
        1.984_126_984_126_984_127_0e-4,
        1.388_888_888_888_888_888_9e-3,
        8.333_333_333_333_333_333_3e-3,
        4.166_666_666_666_666_666_7e-2,
        1.666_666_666_666_666_666_7e-1,
        0.5,
        1.0,
    ];
    if x == f64::NEG_INFINITY {
        return 0.0;
    }
    if !x.is_finite() {
        return x;
    }
    if x > OVERFLOW {
        return f64::INFINITY;
    }
    // If the power does not fit, the result is 0.
    let power = (x * LOG2_E).round_ties_even().max(-1e6);
    let reduced = (-power).mul_add(LN2_LOWER, (-power).mul_add(LN2_UPPER, x)) * 0.0625;
    let series = TAYLOR[1..].iter().fold(TAYLOR[0], |sum, c| reduced.mul_add(sum, *c));
    // exp(16 r) - 1 from exp(r) - 1 by squaring four times.
    let mut less_one = reduced * series;
    for _ in 0..3 {
        less_one *= less_one + 2.0;
    }
    scaled((less_one + 2.0).mul_add(less_one, 1.0), power as i32)
}

/// `value` times 2 to the power of `power`; subnormal results are rounded twice, as in the assembly.
fn scaled(value: f64, power: i32) -> f64 {
    let biased = power + 0x3ff;
    if biased >= 0x7ff {
        return f64::INFINITY;
    }
    if biased > 0 {
        return value * f64::from_bits((biased as u64) << 52);
    }
    if biased < -52 {
        return 0.0;
    }
    value * f64::from_bits(((biased + 0x3fe) as u64) << 52) * f64::from_bits(1 << 52)
}

/// 2 to the power of `x`.
pub fn exp2(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238_164_90e-01;
    const LN2_LOW: f64 = 1.908_214_929_270_587_700_02e-10;
    if x.is_nan() {
        return x;
    }
    if x > 1.023_999_999_999_999_9e+03 {
        return f64::INFINITY;
    }
    if x < -1.0740e+03 {
        return 0.0;
    }
    let power = if x > 0.0 { (x + 0.5) as i32 } else { (x - 0.5) as i32 };
    let rest = x - f64::from(power);
    split_exp(rest * LN2_HIGH, -rest * LN2_LOW, power)
}

/// e to the power of `high - low`, times 2 to the power of `power`.
fn split_exp(high: f64, low: f64, power: i32) -> f64 {
    const P: [f64; 5] = [
        4.138_136_797_057_238_460_39e-08,
        -1.653_390_220_546_525_153_90e-06,
        6.613_756_321_437_934_361_17e-05,
        -2.777_777_777_701_559_338_42e-03,
        1.666_666_666_666_666_574_15e-01,
    ];
    let r = high - low;
    let t = r * r;
    let c = r - t * super::polynomial(t, &P);
    ldexp(1.0 - ((low - (r * c) / (2.0 - c)) - high), power)
}
