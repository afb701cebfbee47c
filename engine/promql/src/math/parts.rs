//! Fraction and exponent of doubles.

/// Splits into a fraction in [0.5, 1) and a power of two; 0, infinities and NaN are returned with power 0.
pub(crate) fn frexp(x: f64) -> (f64, i32) {
    if x == 0.0 || !x.is_finite() {
        return (x, 0);
    }
    let (x, shift) = normalized(x);
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i32 - 1022 + shift;
    (f64::from_bits(bits & !(0x7ff << 52) | 0x3fe << 52), exponent)
}

/// `fraction` times 2 to the power of `exponent`, with one rounding at most.
pub(crate) fn ldexp(fraction: f64, exponent: i32) -> f64 {
    if fraction == 0.0 || !fraction.is_finite() {
        return fraction;
    }
    let (fraction, shift) = normalized(fraction);
    let bits = fraction.to_bits();
    let mut exponent = i64::from(exponent) + i64::from(shift) + (bits >> 52 & 0x7ff) as i64 - 1023;
    if exponent < -1075 {
        return 0f64.copysign(fraction);
    }
    if exponent > 1023 {
        return f64::INFINITY.copysign(fraction);
    }
    let mut scale = 1.0;
    if exponent < -1022 {
        exponent += 53;
        scale = 1.0 / (1u64 << 53) as f64;
    }
    scale * f64::from_bits(bits & !(0x7ff << 52) | ((exponent + 1023) as u64) << 52)
}

/// A subnormal number scaled up, and the power of two that undoes it.
fn normalized(x: f64) -> (f64, i32) {
    if x.abs() < f64::MIN_POSITIVE { (x * (1u64 << 52) as f64, -52) } else { (x, 0) }
}
