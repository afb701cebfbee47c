//! Go's `strconv.ParseFloat`, `ParseBool` and `Atoi`, with their error texts.

use super::{quote, without_underscores};

/// Parses what `strconv.ParseFloat(s, 64)` accepts: decimal and hexadecimal floats, infinities, NaN. Also `None` when
/// the value is out of range.
pub(crate) fn parse_float(s: &str) -> Option<f64> {
    let (negative, unsigned) = match s.as_bytes().first()? {
        b'+' => (false, &s[1..]),
        b'-' => (true, &s[1..]),
        _ => (false, s),
    };
    let lower = unsigned.to_ascii_lowercase();
    let magnitude = match lower.as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" => return if negative || s.starts_with('+') { None } else { Some(f64::NAN) },
        _ => {
            let plain = without_underscores(unsigned)?.to_ascii_lowercase();
            if plain.starts_with(['+', '-']) {
                return None;
            }
            let value = match plain.strip_prefix("0x") {
                Some(hex) => parse_hex_float(hex)?,
                None if plain
                    .bytes()
                    .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'+' | b'-')) =>
                {
                    plain.parse().ok()?
                }
                None => return None,
            };
            if value == f64::INFINITY {
                return None;
            }
            value
        }
    };
    Some(if negative { -magnitude } else { magnitude })
}

/// Parses `1.8p3`, the part of a hexadecimal float after `0x`; the exponent is required, as in Go. Digits beyond the 64
/// leading bits only decide the rounding.
fn parse_hex_float(s: &str) -> Option<f64> {
    let (digits, exponent) = s.split_once('p')?;
    let mut exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let (mut mantissa, mut sticky) = (0u64, 0u64);
    for (place, c) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(c.to_digit(16)?);
        let behind_point = place >= whole.len();
        if mantissa >> 58 == 0 {
            mantissa = mantissa << 4 | digit;
            exponent -= if behind_point { 4 } else { 0 };
        } else {
            sticky |= u64::from(digit != 0);
            exponent += if behind_point { 0 } else { 4 };
        }
    }
    if mantissa == 0 {
        return Some(0.0);
    }
    let exponent = i32::try_from(exponent.clamp(-3000, 3000)).ok()?;
    let value = (mantissa | sticky) as f64;
    // Two factors, so that neither overflows nor underflows before the product does.
    Some(value * 2f64.powi(exponent / 2) * 2f64.powi(exponent - exponent / 2))
}

/// Parses a boolean as `strconv.ParseBool` does.
pub(crate) fn parse_bool(s: &str) -> Result<bool, String> {
    match s {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {}: invalid syntax", quote(s))),
    }
}

/// Parses a decimal integer; the error is the text of Go's `function` (`Atoi`, `ParseInt`).
pub(crate) fn parse_int(s: &str, function: &str) -> Result<i64, String> {
    let digits = s.strip_prefix(['+', '-']).unwrap_or(s);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("strconv.{function}: parsing {}: invalid syntax", quote(s)));
    }
    s.parse().map_err(|_| format!("strconv.{function}: parsing {}: value out of range", quote(s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_in_go() {
        for (text, value) in [
            ("1.5", 1.5),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-2", -2.0),
            ("+2", 2.0),
            ("1_000", 1000.0),
            ("0x1p4", 16.0),
            ("0x1.8p1", 3.0),
            ("-inf", f64::NEG_INFINITY),
            ("Infinity", f64::INFINITY),
            ("1e-400", 0.0),
        ] {
            assert_eq!(parse_float(text), Some(value), "{text}");
        }
        assert!(parse_float("NaN").is_some_and(f64::is_nan));
        for text in ["", " 1", "1 ", "0x10", "1e400", "1,5", "abc", "+", "1e", "--1", "+-1", "-nan", "."] {
            assert_eq!(parse_float(text), None, "{text}");
        }
    }

    #[test]
    fn integers_as_in_go() {
        assert_eq!(parse_int("-7", "Atoi"), Ok(-7));
        assert_eq!(parse_int("0x1", "Atoi"), Err(r#"strconv.Atoi: parsing "0x1": invalid syntax"#.into()));
        let big = "99999999999999999999";
        assert_eq!(
            parse_int(big, "Atoi"),
            Err(format!("strconv.Atoi: parsing \"{big}\": value out of range"))
        );
    }
}
