//! The bound of a bucket as text: the value of the label `le`.

use crate::math::ldexp;

/// The bound in a text, as Go's `strconv.ParseFloat` reads it.
pub(super) fn bound(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let plain = text.strip_prefix(['+', '-']).unwrap_or(text);
    if plain.starts_with("0x") || plain.starts_with("0X") {
        return hex(plain).map(|v| if text.starts_with('-') { -v } else { v });
    }
    let value: f64 = text.parse().ok()?;
    // Go refuses numbers that overflow; Rust returns infinity for them.
    let infinite = plain.eq_ignore_ascii_case("inf") || plain.eq_ignore_ascii_case("infinity");
    (!value.is_infinite() || infinite).then_some(value)
}

/// A hexadecimal float with its mandatory binary exponent.
fn hex(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text[2..].split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let mut value = 0.0f64;
    for c in whole.chars().chain(part.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let shift = exponent.checked_sub(i32::try_from(part.len()).ok()?.checked_mul(4)?)?;
    Some(ldexp(value, shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("0.5", Some(0.5)),
            ("+Inf", Some(f64::INFINITY)),
            ("-infinity", Some(f64::NEG_INFINITY)),
            ("0x1p-2", Some(0.25)),
            ("-0X1.8P1", Some(-3.0)),
            // Without an exponent, without digits, out of range.
            ("0x10", None),
            ("", None),
            ("1e400", None),
        ] {
            assert_eq!(bound(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(bound(b"\xff"), None);
    }
}
