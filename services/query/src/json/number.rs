//! Writes values and timestamps: the shortest digits that read back as the same value, in Go's format.
//!
//! Integers and numbers of few decimals, the most common values, skip the search for the shortest digits.

use tithon_promql::format::{positional, write_sample_value};

/// Writes milliseconds as seconds: as an integer, or with exactly three decimals.
pub(crate) fn push_timestamp(out: &mut Vec<u8>, millis: i64) {
    if millis < 0 {
        out.push(b'-');
    }
    let magnitude = millis.unsigned_abs();
    out.extend_from_slice(itoa::Buffer::new().format(magnitude / 1000).as_bytes());
    let rest = magnitude % 1000;
    if rest != 0 {
        push_decimals(out, rest);
    }
}

/// Writes milliseconds as seconds without trailing zeros, the format of the time of scalars and strings.
pub(crate) fn push_seconds(out: &mut Vec<u8>, millis: i64) {
    push_value(out, millis as f64 / 1000.0);
}

/// Writes a sample's value without quotes: positional, but with an exponent below 1e-6 and from 1e21 on.
pub(crate) fn push_value(out: &mut Vec<u8>, v: f64) {
    if !push_plain(out, v) {
        write_sample_value(out, v);
    }
}

/// Writes the value of a scalar result without quotes, always positional.
pub(crate) fn push_scalar_value(out: &mut Vec<u8>, v: f64) {
    if !push_plain(out, v) {
        out.extend_from_slice(positional(v).as_bytes());
    }
}

/// Writes integers, numbers of up to three decimals, NaN and infinities. Returns false, and writes nothing, for other
/// values.
fn push_plain(out: &mut Vec<u8>, v: f64) -> bool {
    /// Below this, a number of three decimals has at most 15 digits, so that its text identifies the value.
    const PLAIN_MAX: f64 = 1e12;
    if v.is_nan() {
        out.extend_from_slice(b"NaN");
        return true;
    }
    let magnitude = v.abs();
    if magnitude == f64::INFINITY {
        out.extend_from_slice(if v > 0.0 { b"+Inf" } else { b"-Inf" });
        return true;
    }
    if magnitude >= PLAIN_MAX {
        return false;
    }
    let thousandths = (magnitude * 1000.0 + 0.5) as u64;
    if thousandths as f64 / 1000.0 != magnitude {
        return false;
    }
    if v.is_sign_negative() {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(thousandths / 1000).as_bytes());
    let rest = thousandths % 1000;
    if rest != 0 {
        push_decimals(out, rest);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    true
}

/// Writes a point and three digits.
fn push_decimals(out: &mut Vec<u8>, thousandths: u64) {
    let digit = |unit: u64| b'0' + (thousandths / unit % 10) as u8;
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(f: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        f(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn values() {
        for (v, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-12.5, "-12.5"),
            (0.001, "0.001"),
            (0.0001, "0.0001"),
            (1e-6, "0.000001"),
            (1e-7, "1e-07"),
            (1.25e-10, "1.25e-10"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (123456789012.345, "123456789012.345"),
            (1234567890123.456, "1234567890123.456"),
            (852_869_336_474_185.2, "852869336474185.2"),
            (0.1 + 0.2, "0.30000000000000004"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(text(|out| push_value(out, v)), expected);
        }
        assert_eq!(text(|out| push_scalar_value(out, 1e-7)), "0.0000001");
        assert_eq!(text(|out| push_scalar_value(out, -1e22)), "-10000000000000000000000");
    }

    #[test]
    fn times() {
        for (t, expected) in [
            (1_500, "1.500"),
            (1_000, "1"),
            (-1_050, "-1.050"),
            (0, "0"),
            (-5, "-0.005"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(text(|out| push_timestamp(out, t)), expected);
        }
        assert_eq!(text(|out| push_seconds(out, 1_500)), "1.5");
    }

    #[test]
    fn texts_read_back() {
        let mut state = 1u64;
        for i in 0..200_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(i);
            let v = match i % 4 {
                0 => f64::from_bits(state),
                1 => (state >> 40) as f64 / 1000.0,
                2 => (state >> 20) as f64 / 1e5,
                _ => (state >> 12) as f64,
            };
            if v.is_finite() {
                let written = text(|out| push_value(out, v));
                assert_eq!(written.parse::<f64>().map(f64::to_bits), Ok(v.to_bits()), "{written}");
            }
        }
    }
}
