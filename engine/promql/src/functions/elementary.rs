//! Functions of one float that neither Rust nor Go's `math` has.

use crate::math;

/// `sgn`: -1, 0, 1 or NaN; the sign of zero stays.
pub(crate) fn sgn(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

/// `rad`: degrees to radians.
pub(crate) fn rad(v: f64) -> f64 {
    v * std::f64::consts::PI / 180.0
}

/// `deg`: radians to degrees.
pub(crate) fn deg(v: f64) -> f64 {
    v * 180.0 / std::f64::consts::PI
}

/// `clamp`; nothing when the bounds contradict each other.
pub(crate) fn clamp(v: f64, min: f64, max: f64) -> Option<f64> {
    if max < min { None } else { Some(math::max(min, math::min(max, v))) }
}

/// `round` to the nearest multiple of `to`, halves up.
pub(crate) fn round(v: f64, to: f64) -> f64 {
    let inverse = 1.0 / to;
    (v * inverse + 0.5).floor() / inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_rounded_up() {
        assert_eq!([2.5, -2.5, 0.4].map(|v| round(v, 1.0)), [3.0, -2.0, 0.0]);
        assert_eq!(round(7.3, 0.5), 7.5);
    }

    #[test]
    fn contradicting_bounds_leave_nothing() {
        assert_eq!(clamp(5.0, 1.0, 3.0), Some(3.0));
        assert_eq!(clamp(5.0, 3.0, 1.0), None);
        assert!(clamp(5.0, f64::NAN, 3.0).is_some_and(f64::is_nan));
    }

    #[test]
    fn zeros_and_nan_are_their_own_signs() {
        assert_eq!([-3.0, 0.2].map(sgn), [-1.0, 1.0]);
        assert!(sgn(-0.0).is_sign_negative() && sgn(f64::NAN).is_nan());
    }
}
