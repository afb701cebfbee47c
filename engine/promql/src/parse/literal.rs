//! Values of number, duration and string literals. Upstream: Go's `strconv.ParseInt` and `ParseFloat`,
//! `model.ParseDuration` of prometheus/common, `util/strutil/quote.go`.

use tithon_chunks::calendar::{DurationError, parse_duration};

use super::token::quoted;

/// The value of a number's text: an integer by its prefix (0x, 0b, 0o, 0), else a float.
///
/// Fails with Go's text when the syntax is wrong or the value too large for a double.
pub(super) fn number(text: &[u8]) -> Result<f64, String> {
    if let Some(n) = integer(text) {
        return Ok(n as f64);
    }
    let fail =
        |why: &str| Err(format!("error parsing number: strconv.ParseFloat: parsing {}: {why}", quoted(text)));
    match text.to_ascii_lowercase().as_slice() {
        b"inf" => return Ok(f64::INFINITY),
        b"nan" => return Ok(f64::NAN),
        _ => {}
    }
    let plain: Vec<u8> = text.iter().copied().filter(|c| *c != b'_').collect();
    let is_decimal =
        plain.iter().all(|c| c.is_ascii_digit() || matches!(c, b'.' | b'e' | b'E' | b'+' | b'-'));
    let value = std::str::from_utf8(&plain).ok().and_then(|s| s.parse::<f64>().ok());
    match value {
        Some(v) if is_decimal && underscores_ok(text) && v.is_finite() => Ok(v),
        Some(v) if is_decimal && underscores_ok(text) && v.is_infinite() => fail("value out of range"),
        _ => fail("invalid syntax"),
    }
}

/// Go's `ParseInt` with base 0, for texts without a sign.
fn integer(text: &[u8]) -> Option<i64> {
    let (base, digits) = match text {
        [b'0', b'x' | b'X', rest @ ..] => (16, rest),
        [b'0', b'b' | b'B', rest @ ..] => (2, rest),
        [b'0', b'o' | b'O', rest @ ..] => (8, rest),
        [b'0', rest @ ..] if !rest.is_empty() => (8, rest),
        _ => (10, text),
    };
    if digits.is_empty() || !underscores_ok(text) {
        return None;
    }
    let mut value = 0i64;
    for c in digits.iter().filter(|c| **c != b'_') {
        let digit = char::from(*c).to_digit(base)?;
        value = value.checked_mul(i64::from(base))?.checked_add(i64::from(digit))?;
    }
    Some(value)
}

/// Whether each underscore stands between digits, a base prefix counting as one.
fn underscores_ok(text: &[u8]) -> bool {
    let (mut last, mut rest, mut hex) = (b'^', text, false);
    if let [b'0', base @ (b'b' | b'B' | b'o' | b'O' | b'x' | b'X'), tail @ ..] = text {
        (last, rest, hex) = (b'0', tail, matches!(base, b'x' | b'X'));
    }
    for c in rest {
        if c.is_ascii_digit() || (hex && c.is_ascii_hexdigit()) {
            last = b'0';
        } else if *c == b'_' {
            if last != b'0' {
                return false;
            }
            last = b'_';
        } else {
            if last == b'_' {
                return false;
            }
            last = b'!';
        }
    }
    last != b'_'
}

/// The value of a duration's text (`1h30m`) in nanoseconds. Fails with upstream's text.
pub fn duration_ns(text: &[u8]) -> Result<i64, String> {
    parse_duration(text).map_err(|error| match error {
        DurationError::Empty => "empty duration string".to_owned(),
        DurationError::Syntax => format!("not a valid duration string: {}", quoted(text)),
        DurationError::Unit(unit) => {
            format!("unknown unit {} in duration {}", quoted(unit), quoted(text))
        }
        DurationError::Range => "duration out of range".to_owned(),
    })
}

/// Nanoseconds as seconds, rounded as Go's `Duration.Seconds` does.
pub(super) fn seconds(ns: i64) -> f64 {
    (ns / 1_000_000_000) as f64 + (ns % 1_000_000_000) as f64 / 1e9
}

/// The value of a string literal that the lexer has accepted, quotes included.
pub(super) fn unquote(literal: &[u8]) -> Box<[u8]> {
    let inner = &literal[1..literal.len() - 1];
    if literal[0] == b'`' || !inner.contains(&b'\\') {
        return inner.into();
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'\\' {
            out.push(*first);
            continue;
        }
        let [kind, tail @ ..] = rest else { break };
        rest = tail;
        match kind {
            b'a' => out.push(7),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'v' => out.push(11),
            b'x' => out.push(take_digits(&mut rest, 2, 16) as u8),
            b'0'..=b'7' => {
                let high = u32::from(kind - b'0') * 64;
                out.push((high + take_digits(&mut rest, 2, 8)) as u8);
            }
            b'u' | b'U' => {
                let value = take_digits(&mut rest, if *kind == b'u' { 4 } else { 8 }, 16);
                let c = char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(*other),
        }
    }
    out.into()
}

fn take_digits(rest: &mut &[u8], n: usize, base: u32) -> u32 {
    let (digits, tail) = rest.split_at(n.min(rest.len()));
    *rest = tail;
    digits.iter().fold(0, |value, c| value * base + char::from(*c).to_digit(base).unwrap_or(0))
}
