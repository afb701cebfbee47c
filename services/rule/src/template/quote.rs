//! Texts in quotes as Go writes and reads them. Go `strconv.Quote`, `strconv.Unquote`.

use std::fmt::Write;

/// Whether Go prints the character as it is: letters, marks, numbers, signs and the space of ASCII.
pub(super) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    // Debug of Rust escapes what is not printable, and combining marks at the beginning, which Go prints.
    !c.is_control() && !c.is_whitespace() && (c.escape_debug().count() == 1 || is_mark(c))
}

/// Marks that combine with the character before them: those that `char::escape_debug` escapes although they are printable.
fn is_mark(c: char) -> bool {
    let mut text = String::from("a");
    text.push(c);
    text.escape_debug().count() == 2
}

/// The text in double quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            c => push_escaped(&mut out, c),
        }
    }
    out.push('"');
    out
}

/// The character in single quotes.
pub(super) fn quoted_char(c: char) -> String {
    let mut out = String::from("'");
    match c {
        '\'' => out.push_str("\\'"),
        c => push_escaped(&mut out, c),
    }
    out.push('\'');
    out
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        c if is_printable(c) => out.push(c),
        '\x07' => out.push_str("\\a"),
        '\x08' => out.push_str("\\b"),
        '\x0c' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\x0b' => out.push_str("\\v"),
        // Writing to a string cannot fail.
        c if u32::from(c) < 0x80 => drop(write!(out, "\\x{:02x}", u32::from(c))),
        c if u32::from(c) < 0x1_0000 => drop(write!(out, "\\u{:04x}", u32::from(c))),
        c => drop(write!(out, "\\U{:08x}", u32::from(c))),
    }
}

/// What a literal in double quotes or backquotes stands for; `None` where it breaks the rules. Bytes that are no UTF-8 become
/// U+FFFD.
pub(super) fn unquoted(literal: &str) -> Option<String> {
    let quote = literal.chars().next()?;
    let inner = literal.get(1..literal.len().checked_sub(1)?)?;
    if quote == '`' {
        return Some(inner.replace('\r', ""));
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(inner.len()), inner);
    while !rest.is_empty() {
        let one = unescaped(rest, '"')?;
        match one.value {
            Escaped::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Escaped::Byte(byte) => bytes.push(byte),
        }
        rest = one.rest;
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a literal in single quotes stands for.
pub(super) fn unquoted_char(literal: &str) -> Option<u32> {
    let one = unescaped(literal.get(1..)?, '\'')?;
    (one.rest == "'").then_some(match one.value {
        Escaped::Char(c) => u32::from(c),
        Escaped::Byte(byte) => u32::from(byte),
    })
}

enum Escaped {
    Char(char),
    Byte(u8),
}

struct One<'t> {
    value: Escaped,
    rest: &'t str,
}

/// The first character or escape of a text.
fn unescaped(text: &str, quote: char) -> Option<One<'_>> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first != '\\' {
        return (first != quote).then_some(One { value: Escaped::Char(first), rest: chars.as_str() });
    }
    let kind = chars.next()?;
    let number = |digits: usize, base: u32, from: &'_ str| -> Option<u32> {
        let digits = from.get(..digits)?;
        digits.chars().all(|c| c.is_digit(base)).then(|| u32::from_str_radix(digits, base).ok())?
    };
    let rest = chars.as_str();
    let char = |c| Some(One { value: Escaped::Char(c), rest });
    match kind {
        'a' => char('\x07'),
        'b' => char('\x08'),
        'f' => char('\x0c'),
        'n' => char('\n'),
        'r' => char('\r'),
        't' => char('\t'),
        'v' => char('\x0b'),
        '\\' => char('\\'),
        '\'' | '"' if kind == quote => char(kind),
        'x' => {
            let byte = u8::try_from(number(2, 16, rest)?).ok()?;
            Some(One { value: Escaped::Byte(byte), rest: &rest[2..] })
        }
        '0'..='7' => {
            let from = &text[1..];
            let byte = u8::try_from(number(3, 8, from)?).ok()?;
            Some(One { value: Escaped::Byte(byte), rest: &from[3..] })
        }
        'u' => Some(One { value: Escaped::Char(char::from_u32(number(4, 16, rest)?)?), rest: &rest[4..] }),
        'U' => Some(One { value: Escaped::Char(char::from_u32(number(8, 16, rest)?)?), rest: &rest[8..] }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_go_both_ways() {
        for text in ["", "a \"b\"\\", "\n\t\u{1}\u{7f}", "größe ☃ \u{200b}\u{1F600}"] {
            assert_eq!(unquoted(&quoted(text)).as_deref(), Some(text));
        }
        assert_eq!(quoted("\u{200b}é\u{1}"), r#""\u200bé\x01""#);
        assert_eq!(unquoted(r#""\x41\101\u00e9""#).as_deref(), Some("AAé"));
        assert_eq!(unquoted(r#""\q""#), None);
        assert_eq!(unquoted(r#""\xe"#), None);
        assert_eq!(unquoted_char("'\\n'"), Some(10));
        assert_eq!(unquoted_char("'ab'"), None);
    }
}
