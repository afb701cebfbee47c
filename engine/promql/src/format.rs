//! Numbers and durations as Go prints them. Upstream: Go's `strconv.FormatFloat`, `model.Duration`, `util/jsonutil`.
//!
//! Digits come from `zmij`, which breaks ties as Go does; the standard library breaks some the other way.

use std::fmt::Write;

/// Go's `'f'` with `decimals` places (`%f` has six).
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    special(value).map_or_else(|| format!("{value:.decimals$}"), str::to_owned)
}

/// Shortest digits in positional notation: Go's `'f', -1`.
pub fn positional(value: f64) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let mut out = Vec::with_capacity(24);
    Digits::of(value).write_positional(&mut out);
    ascii(out)
}

/// Shortest digits, with an exponent below -4 and from 6 on: Go's `%g` and `%v`.
pub fn general(value: f64) -> String {
    if let Some(text) = special(value) {
        return text.to_owned();
    }
    let digits = Digits::of(value);
    let mut out = Vec::with_capacity(24);
    if (-4..6).contains(&(digits.point - 1)) {
        digits.write_positional(&mut out);
    } else {
        digits.write_exponent(&mut out);
    }
    ascii(out)
}

/// A sample value in JSON answers, without its quotes.
pub fn sample_value(value: f64) -> String {
    let mut out = Vec::with_capacity(24);
    write_sample_value(&mut out, value);
    ascii(out)
}

/// Appends a sample value as JSON answers have it: positional, but with an exponent below 1e-6 and from 1e21 on.
pub fn write_sample_value(out: &mut Vec<u8>, value: f64) {
    if let Some(text) = special(value) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let magnitude = value.abs();
    if (1e-3..1e15).contains(&magnitude) {
        // Numbers of this size are written by `zmij` in positional notation, whole ones with a trailing `.0`.
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value);
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
        return;
    }
    let digits = Digits::of(value);
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        digits.write_exponent(out);
    } else {
        digits.write_positional(out);
    }
}

fn ascii(text: Vec<u8>) -> String {
    String::from_utf8(text).expect("numbers are ASCII")
}

/// A duration of so many milliseconds as canonical text (`1h30m`), without a sign.
pub(crate) fn duration_ms(ms: i64) -> String {
    if ms <= 0 {
        return "0s".to_owned();
    }
    const UNITS: [(&str, i64, bool); 7] = [
        // Years and weeks are used only when they divide the rest without remainder.
        ("y", 365 * 86_400_000, true),
        ("w", 7 * 86_400_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1000, false),
        ("ms", 1, false),
    ];
    let (mut rest, mut out) = (ms, String::new());
    for (name, length, exact) in UNITS {
        if exact && rest % length != 0 {
            continue;
        }
        let n = rest / length;
        if n > 0 {
            write!(out, "{n}{name}").expect("writing to a string succeeds");
            rest -= n * length;
        }
    }
    out
}

fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        Some("NaN")
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" })
    } else {
        None
    }
}

/// The shortest decimal digits of a finite number.
struct Digits {
    negative: bool,
    digits: [u8; 20],
    len: usize,
    /// The decimal point stands after this many digits.
    point: i32,
}

impl Digits {
    fn of(value: f64) -> Digits {
        let mut digits = Digits { negative: value.is_sign_negative(), digits: [b'0'; 20], len: 1, point: 1 };
        if value == 0.0 {
            return digits;
        }
        let mut buffer = zmij::Buffer::new();
        let text = buffer.format_finite(value.abs());
        let (mut point, mut exponent) = (None, 0);
        // The digits after leading zeros; trailing zeros are not counted in `len`.
        let mut met = 0;
        digits.len = 0;
        for (i, c) in text.bytes().enumerate() {
            match c {
                b'.' => point = Some(met as i32),
                b'e' => {
                    exponent = text[i + 1..].parse().expect("written by zmij");
                    break;
                }
                b'0' if met == 0 => point = point.map(|point: i32| point - 1),
                c => {
                    digits.digits[met] = c;
                    met += 1;
                    digits.len = if c == b'0' { digits.len } else { met };
                }
            }
        }
        digits.point = point.unwrap_or(met as i32) + exponent;
        digits
    }

    fn write_positional(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        let digits = &self.digits[..self.len];
        let zeros = |out: &mut Vec<u8>, n: usize| out.resize(out.len() + n, b'0');
        match usize::try_from(self.point) {
            Ok(point) if point >= digits.len() => {
                out.extend_from_slice(digits);
                zeros(out, point - digits.len());
            }
            Ok(point) if point > 0 => {
                out.extend_from_slice(&digits[..point]);
                out.push(b'.');
                out.extend_from_slice(&digits[point..]);
            }
            _ => {
                out.extend_from_slice(b"0.");
                zeros(out, self.point.unsigned_abs() as usize);
                out.extend_from_slice(digits);
            }
        }
    }

    fn write_exponent(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        out.push(self.digits[0]);
        if self.len > 1 {
            out.push(b'.');
            out.extend_from_slice(&self.digits[1..self.len]);
        }
        let exponent = self.point - 1;
        let magnitude = exponent.unsigned_abs();
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        for place in [100, 10, 1] {
            if place < 100 || magnitude >= 100 {
                out.push(b'0' + (magnitude / place % 10) as u8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_parse_to_the_same_bits(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            for text in [sample_value(value), positional(value), general(value)] {
                prop_assert_eq!(text.parse::<f64>().unwrap().to_bits(), bits, "{}", text);
            }
        }

        #[test]
        fn sample_values_are_positional_in_the_middle(whole: i64, exponent in -9i32..18) {
            let value = whole as f64 / 1e9 * 10f64.powi(exponent - 9);
            prop_assume!((1e-6..1e21).contains(&value.abs()));
            prop_assert_eq!(sample_value(value), positional(value));
            prop_assert_eq!(sample_value(value.trunc()), positional(value.trunc()));
        }
    }

    #[test]
    fn sample_values() {
        let cases = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1e-7, "1e-07"),
            (0.000001, "0.000001"),
            (-123.456, "-123.456"),
            (852869336474185.0 + 0.25, "852869336474185.2"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ];
        for (value, text) in cases {
            assert_eq!(sample_value(value), text);
        }
    }

    #[test]
    fn other_forms() {
        assert_eq!(positional(1e-7), "0.0000001");
        assert_eq!(positional(1e22), "10000000000000000000000");
        assert_eq!(general(1e20), "1e+20");
        assert_eq!(general(123456789.0), "1.23456789e+08");
        assert_eq!(general(0.00001), "1e-05");
        assert_eq!(general(123456.0), "123456");
        assert_eq!(general(1e6), "1e+06");
        assert_eq!(fixed(1.5, 6), "1.500000");
        assert_eq!(fixed(f64::NEG_INFINITY, 6), "-Inf");
    }

    #[test]
    fn durations() {
        let cases = [
            (0, "0s"),
            (1, "1ms"),
            (90 * 60_000, "1h30m"),
            (7 * 86_400_000, "1w"),
            (8 * 86_400_000, "8d"),
            (365 * 86_400_000, "1y"),
            (372 * 86_400_000, "372d"),
        ];
        for (ms, text) in cases {
            assert_eq!(duration_ms(ms), text);
        }
    }
}
