//! The binary operators on two floats.

use crate::ast::BinaryOp;
use crate::math;

/// Calls a macro for the operator, as `apply!(arithmetic, f)` or `apply!(comparison, f)`: each with a function of two
/// floats that the compiler knows, so that it compiles loops over columns for each operator. Operators that do not take
/// two floats give `$other`.
macro_rules! for_operator {
    ($op:expr, $apply:ident, $other:expr) => {
        match $op {
            BinaryOp::Add => $apply!(arithmetic, |l, r| l + r),
            BinaryOp::Sub => $apply!(arithmetic, |l, r| l - r),
            BinaryOp::Mul => $apply!(arithmetic, |l, r| l * r),
            BinaryOp::Div => $apply!(arithmetic, |l, r| l / r),
            BinaryOp::Mod => $apply!(arithmetic, $crate::math::modulo),
            BinaryOp::Pow => $apply!(arithmetic, $crate::math::pow),
            BinaryOp::Atan2 => $apply!(arithmetic, $crate::math::atan2),
            BinaryOp::Equal => $apply!(comparison, |l, r| l == r),
            BinaryOp::NotEqual => $apply!(comparison, |l, r| l != r),
            BinaryOp::Greater => $apply!(comparison, |l, r| l > r),
            BinaryOp::Less => $apply!(comparison, |l, r| l < r),
            BinaryOp::GreaterOrEqual => $apply!(comparison, |l, r| l >= r),
            BinaryOp::LessOrEqual => $apply!(comparison, |l, r| l <= r),
            BinaryOp::TrimUpper | BinaryOp::TrimLower | BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => {
                $other
            }
        }
    };
}
pub(crate) use for_operator;

/// The operator on two scalars; comparisons give 1 or 0.
pub(crate) fn on_scalars(op: BinaryOp, l: f64, r: f64) -> f64 {
    match arithmetic(op, l, r) {
        Some(v) => v,
        None => f64::from(u8::from(compare(op, l, r))),
    }
}

/// An arithmetic operator on floats; `None` for the others.
#[inline]
pub(crate) fn arithmetic(op: BinaryOp, l: f64, r: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => l + r,
        BinaryOp::Sub => l - r,
        BinaryOp::Mul => l * r,
        BinaryOp::Div => l / r,
        BinaryOp::Mod => math::modulo(l, r),
        BinaryOp::Pow => math::pow(l, r),
        BinaryOp::Atan2 => math::atan2(l, r),
        _ => return None,
    })
}

/// Whether a comparison of floats holds; false for the other operators.
#[inline]
pub(crate) fn compare(op: BinaryOp, l: f64, r: f64) -> bool {
    match op {
        BinaryOp::Equal => l == r,
        BinaryOp::NotEqual => l != r,
        BinaryOp::Greater => l > r,
        BinaryOp::Less => l < r,
        BinaryOp::GreaterOrEqual => l >= r,
        BinaryOp::LessOrEqual => l <= r,
        _ => false,
    }
}

/// Whether the operator is arithmetic: then its result is no longer what the metric measures and loses the name.
pub(crate) fn is_arithmetic(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::Mod
            | BinaryOp::Pow
            | BinaryOp::Atan2
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_compare_to_one_or_zero() {
        assert_eq!(on_scalars(BinaryOp::Pow, 2.0, 10.0), 1024.0);
        assert_eq!(on_scalars(BinaryOp::Less, 1.0, 2.0), 1.0);
        assert_eq!(on_scalars(BinaryOp::Equal, f64::NAN, f64::NAN), 0.0);
        assert!(on_scalars(BinaryOp::Mod, 1.0, 0.0).is_nan());
    }

    #[test]
    fn the_macro_knows_the_same_operators() {
        for op in
            [BinaryOp::Add, BinaryOp::Atan2, BinaryOp::GreaterOrEqual, BinaryOp::TrimLower, BinaryOp::Or]
        {
            macro_rules! is {
                ($kind:ident, $f:expr) => {
                    stringify!($kind)
                };
            }
            let kind = for_operator!(op, is, "neither");
            assert_eq!(kind == "arithmetic", is_arithmetic(op), "{op}");
            assert_eq!(kind == "comparison", op.is_comparison(), "{op}");
        }
    }
}
