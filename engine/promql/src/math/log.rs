//! Logarithms. Go: `math/log_amd64.s`, `math/log10.go`, `math/log1p.go` (FreeBSD's e_log.c and s_log1p.c).

use std::f64::consts::{FRAC_1_SQRT_2, LOG2_E, LOG10_E};

use super::{NAN, frexp, polynomial};

const LN2_HIGH: f64 = 6.931_471_803_691_238_164_90e-01;
const LN2_LOW: f64 = 1.908_214_929_270_587_700_02e-10;

/// Coefficients of the series in the square of s = f / (2 + f), the highest power's first.
const SERIES: [f64; 7] = [
    1.479_819_860_511_658_591e-01,
    1.531_383_769_920_937_332e-01,
    1.818_357_216_161_805_012e-01,
    2.222_219_843_214_978_396e-01,
    2.857_142_874_366_239_149e-01,
    3.999_999_999_940_941_908e-01,
    6.666_666_666_666_735_130e-01,
];

/// The natural logarithm. Treats subnormal numbers as normal ones, as Go's assembly does.
pub fn ln(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    if x.is_nan() && x.is_sign_positive() || x == f64::INFINITY {
        return x;
    }
    if x.is_sign_negative() {
        return NAN;
    }
    let bits = x.to_bits();
    let mut fraction = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3fe0_0000_0000_0000);
    let mut power = (bits >> 52 & 0x7ff) as f64 - 1022.0;
    if fraction <= FRAC_1_SQRT_2 {
        power -= 1.0;
        fraction *= 2.0;
    }
    let f = fraction - 1.0;
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let odd = s2 * polynomial(s4, &[SERIES[0], SERIES[2], SERIES[4], SERIES[6]]);
    let even = s4 * polynomial(s4, &[SERIES[1], SERIES[3], SERIES[5]]);
    let half_square = 0.5 * f * f;
    power * LN2_HIGH - ((half_square - (s * (half_square + (odd + even)) + power * LN2_LOW)) - f)
}

/// The logarithm to base 2; exact for powers of two.
pub fn log2(x: f64) -> f64 {
    let (fraction, power) = frexp(x);
    if fraction == 0.5 {
        return f64::from(power - 1);
    }
    ln(fraction) * LOG2_E + f64::from(power)
}

/// The logarithm to base 10.
pub fn log10(x: f64) -> f64 {
    ln(x) * LOG10_E
}

/// The natural logarithm of 1 + `x`.
pub(super) fn ln_1p(x: f64) -> f64 {
    const SQRT2_LESS_1: f64 = 4.142_135_623_730_950_488_017e-01;
    const SQRT_HALF_LESS_1: f64 = -2.928_932_188_134_524_755_992e-01;
    const SMALL: f64 = 1.0 / (1u64 << 29) as f64;
    const TINY: f64 = 1.0 / (1u64 << 54) as f64;
    if x < -1.0 || x.is_nan() {
        return NAN;
    }
    if x == -1.0 {
        return f64::NEG_INFINITY;
    }
    if x == f64::INFINITY {
        return x;
    }
    let magnitude = x.abs();
    if magnitude < SMALL {
        return if magnitude < TINY { x } else { x - x * x * 0.5 };
    }
    let reduced = if magnitude < SQRT2_LESS_1 && x > SQRT_HALF_LESS_1 {
        Reduced { f: x, power: 0.0, correction: 0.0, near_one: false }
    } else {
        reduce_1p(x)
    };
    from_reduced(reduced)
}

/// 1 + x as 2^power * (1 + f), and the rounding error.
struct Reduced {
    f: f64,
    power: f64,
    correction: f64,
    near_one: bool,
}

fn reduce_1p(x: f64) -> Reduced {
    const MANTISSA_OF_SQRT2: u64 = 0x0006_a09e_667f_3bcd;
    let (u, correction, mut power);
    if x.abs() < (1u64 << 53) as f64 {
        u = 1.0 + x;
        power = (u.to_bits() >> 52) as i64 - 1023;
        correction = if power > 0 { 1.0 - (u - x) } else { x - (u - 1.0) } / u;
    } else {
        u = x;
        power = (u.to_bits() >> 52) as i64 - 1023;
        correction = 0.0;
    }
    let mantissa = u.to_bits() & 0x000f_ffff_ffff_ffff;
    let (normal, rest);
    if mantissa < MANTISSA_OF_SQRT2 {
        normal = f64::from_bits(mantissa | 0x3ff0_0000_0000_0000);
        rest = mantissa;
    } else {
        power += 1;
        normal = f64::from_bits(mantissa | 0x3fe0_0000_0000_0000);
        rest = (0x0010_0000_0000_0000 - mantissa) >> 2;
    }
    Reduced { f: normal - 1.0, power: power as f64, correction, near_one: rest == 0 }
}

fn from_reduced(Reduced { f, power, correction, near_one }: Reduced) -> f64 {
    let half_square = 0.5 * f * f;
    if near_one {
        if f == 0.0 {
            return if power == 0.0 { 0.0 } else { power * LN2_HIGH + (correction + power * LN2_LOW) };
        }
        let r = half_square * (1.0 - 0.666_666_666_666_666_66 * f);
        if power == 0.0 {
            return f - r;
        }
        return power * LN2_HIGH - ((r - (power * LN2_LOW + correction)) - f);
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * polynomial(z, &SERIES);
    if power == 0.0 {
        return f - (half_square - s * (half_square + r));
    }
    power * LN2_HIGH - ((half_square - (s * (half_square + r) + (power * LN2_LOW + correction))) - f)
}
