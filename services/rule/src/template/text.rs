//! Numbers as texts and back, and texts as URLs have them. Go `strconv`, `net/url`, `net`.

use std::fmt::Write;

/// A number as Go reads one: decimal or hexadecimal, underscores as in Go's source, `Inf` and `NaN`.
pub(super) fn parse_float(text: &str) -> Option<f64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let value = match lower.as_str() {
        "inf" | "infinity" => f64::INFINITY,
        "nan" if digits.len() == text.len() => f64::NAN,
        _ => match lower.strip_prefix("0x") {
            Some(hex) => hexadecimal(hex)?,
            None if lower.starts_with(|c: char| c.is_ascii_digit() || c == '.') => lower.parse().ok()?,
            None => return None,
        },
    };
    Some(if negative { -value } else { value })
}

/// `1.8p3`; the exponent must be there.
fn hexadecimal(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 14 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let value = u64::from_str_radix(&digits, 16).ok()? as f64;
    let exponent: i32 = exponent.parse().ok()?;
    let shift = exponent.checked_sub(i32::try_from(fraction.len() * 4).ok()?)?;
    Some(value * 2f64.powi(shift.clamp(-1074, 1023)))
}

/// `%.Nf`
pub(super) fn fixed(value: f64, decimals: usize) -> String {
    special(value).unwrap_or_else(|| format!("{value:.decimals$}"))
}

/// `%.Ne`
pub(super) fn exponential(value: f64, decimals: usize) -> String {
    special(value).unwrap_or_else(|| two_digit_exponent(&format!("{value:.decimals$e}")))
}

/// `%e` with as many digits as the number needs.
pub(crate) fn exponential_shortest(value: f64) -> String {
    special(value).unwrap_or_else(|| two_digit_exponent(&format!("{value:e}")))
}

/// `%.Ng`
pub(super) fn general(value: f64, digits: usize) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let digits = digits.max(1);
    let text = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let stripped = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= digits as i64 {
        return two_digit_exponent(&format!("{}e{exponent}", stripped(mantissa)));
    }
    let decimals = usize::try_from(digits as i64 - 1 - exponent).unwrap_or(0);
    stripped(&format!("{value:.decimals$}"))
}

fn special(value: f64) -> Option<String> {
    let text = match value {
        value if value.is_nan() => "NaN",
        f64::INFINITY => "+Inf",
        f64::NEG_INFINITY => "-Inf",
        _ => return None,
    };
    Some(text.to_owned())
}

/// `1e5` becomes `1e+05`.
fn two_digit_exponent(text: &str) -> String {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    match exponent.strip_prefix('-') {
        Some(digits) => format!("{mantissa}e-{digits:0>2}"),
        None => format!("{mantissa}e+{exponent:0>2}"),
    }
}

/// A text as a value of a URL's query.
pub(crate) fn query_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            // Writing to a string cannot fail.
            byte => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// Host and port of `host:port`, `[host]:port`; `None` for anything else.
pub(super) fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    (!host.contains(['[', ']']) && !port.contains(['[', ']'])).then_some((host, port))
}

/// The first letter of each word in upper case, as `cases.Title` with `NoLower` has it.
pub(super) fn titled(text: &str) -> String {
    let (mut out, mut in_word) = (String::with_capacity(text.len()), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphabetic() {
            if in_word {
                out.push(c)
            } else {
                out.extend(title_case(c))
            }
            in_word = true;
            continue;
        }
        out.push(c);
        // These part no words where letters stand on both sides.
        let is_inside = matches!(c, '\'' | '.' | ':' | '·' | '’' | '‘' | '․' | '﹒');
        in_word = in_word
            && (c.is_numeric() || c == '_' || is_inside && chars.peek().is_some_and(|c| c.is_alphabetic()));
    }
    out
}

/// Digraphs have a case of their own for the beginning of a word.
fn title_case(c: char) -> Vec<char> {
    match c {
        'Ǆ' | 'ǅ' | 'ǆ' => vec!['ǅ'],
        'Ǉ' | 'ǈ' | 'ǉ' => vec!['ǈ'],
        'Ǌ' | 'ǋ' | 'ǌ' => vec!['ǋ'],
        'Ǳ' | 'ǲ' | 'ǳ' => vec!['ǲ'],
        'ß' => vec!['S', 's'],
        c => c.to_uppercase().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (value, digits, text) in [
            (1234.5678, 4, "1235"),
            (0.00001234, 3, "1.23e-05"),
            (1e21, 4, "1e+21"),
            (100.0, 4, "100"),
            (99999.0, 4, "1e+05"),
            (0.0, 4, "0"),
            (-0.5, 4, "-0.5"),
        ] {
            assert_eq!(general(value, digits), text);
        }
        assert_eq!(exponential(1234.5, 2), "1.23e+03");
        assert_eq!(parse_float("0x1.8p1"), Some(3.0));
        assert_eq!(parse_float("-1_0"), None);
        assert_eq!(parse_float(" 1"), None);
        assert_eq!(parse_float("-Inf"), Some(f64::NEG_INFINITY));
    }

    #[test]
    fn hosts_and_ports() {
        assert_eq!(split_host_port("a.b:1"), Some(("a.b", "1")));
        assert_eq!(split_host_port("[::1]:1"), Some(("::1", "1")));
        for text in ["a", "::1", "[::1]", "a:1]"] {
            assert_eq!(split_host_port(text), None, "{text}");
        }
    }
}
