//! Character classes and escapes of Go's regular expressions: ASCII for `\d \s \w` and POSIX names, Unicode tables
//! for `\p`. Source: Go 1.26, `regexp/syntax/parse.go` and `perl_groups.go`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::go_error::{SyntaxError, error, upto};

const SURROGATES: std::ops::RangeInclusive<u32> = 0xd800..=0xdfff;

/// Adds every character that equals one of the class but for case.
pub(super) fn fold(mut class: ClassUnicode) -> ClassUnicode {
    class.case_fold_simple();
    class
}

/// All characters, perhaps but one.
pub(super) fn any_but(not: Option<char>) -> ClassUnicode {
    let mut class = ClassUnicode::new(not.map(|c| ClassUnicodeRange::new(c, c)));
    class.negate();
    class
}

/// `[...]` at the start of `text`: the class and what follows.
pub(super) fn brackets(text: &str, fold_case: bool) -> Result<(ClassUnicode, &str), SyntaxError> {
    let mut rest = &text[1..];
    let negated = rest.starts_with('^');
    rest = rest.strip_prefix('^').unwrap_or(rest);
    let (mut parts, mut first) = (Parts::default(), true);
    while first || !rest.starts_with(']') {
        first = false;
        if let Some((named, after)) = posix(rest, fold_case)? {
            parts.add(&named);
            rest = after;
            continue;
        }
        if let Some((escaped, after)) = class_escape(rest, fold_case)? {
            parts.add(&escaped);
            rest = after;
            continue;
        }
        let start = rest;
        let (low, after) = class_char(rest, text)?;
        let mut high = low;
        rest = after;
        if let Some(behind) = rest.strip_prefix('-')
            && !behind.is_empty()
            && !behind.starts_with(']')
        {
            (high, rest) = class_char(behind, text)?;
            if high < low {
                return Err(error("invalid character class range", upto(start, rest)));
            }
        }
        let range = range(low, high);
        parts.add(&if fold_case { fold(range) } else { range });
    }
    let mut class = parts.joined();
    if negated {
        class.negate();
    }
    Ok((class, &rest[1..]))
}

/// The ranges of a class as they are read. They are sorted and joined when they have doubled, so that the time is linear
/// but for sorting, and the memory no more than twice the class.
#[derive(Default)]
struct Parts {
    ranges: Vec<ClassUnicodeRange>,
    joined: usize,
}

impl Parts {
    fn add(&mut self, class: &ClassUnicode) {
        self.ranges.extend_from_slice(class.ranges());
        if self.ranges.len() > 2 * self.joined + 4096 {
            self.ranges = ClassUnicode::new(self.ranges.drain(..)).ranges().to_vec();
            self.joined = self.ranges.len();
        }
    }

    fn joined(self) -> ClassUnicode {
        ClassUnicode::new(self.ranges)
    }
}

/// Characters from `low` to `high`, without surrogates.
fn range(low: u32, high: u32) -> ClassUnicode {
    let below = (low, high.min(SURROGATES.start() - 1));
    let above = (low.max(SURROGATES.end() + 1), high);
    let ranges = [below, above].into_iter().filter(|(low, high)| low <= high);
    ClassUnicode::new(
        ranges.filter_map(|(low, high)| {
            Some(ClassUnicodeRange::new(char::from_u32(low)?, char::from_u32(high)?))
        }),
    )
}

fn class_char<'a>(text: &'a str, whole: &str) -> Result<(u32, &'a str), SyntaxError> {
    match text.chars().next() {
        None => Err(error("missing closing ]", whole)),
        Some('\\') => char_escape(text),
        Some(c) => Ok((c as u32, &text[c.len_utf8()..])),
    }
}

/// `[:name:]` at the start of `text`.
fn posix(text: &str, fold_case: bool) -> Result<Option<(ClassUnicode, &str)>, SyntaxError> {
    let Some(inner) = text.strip_prefix("[:") else { return Ok(None) };
    let Some(end) = inner.find(":]") else { return Ok(None) };
    let (name, rest) = (&inner[..end], &inner[end + 2..]);
    let negated = name.starts_with('^');
    let ranges: &[(u8, u8)] = match name.strip_prefix('^').unwrap_or(name) {
        "alnum" => &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')],
        "alpha" => &[(b'A', b'Z'), (b'a', b'z')],
        "ascii" => &[(0, 0x7f)],
        "blank" => &[(b'\t', b'\t'), (b' ', b' ')],
        "cntrl" => &[(0, 0x1f), (0x7f, 0x7f)],
        "digit" => &[(b'0', b'9')],
        "graph" => &[(b'!', b'~')],
        "lower" => &[(b'a', b'z')],
        "print" => &[(b' ', b'~')],
        "punct" => &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')],
        "space" => &[(b'\t', b'\r'), (b' ', b' ')],
        "upper" => &[(b'A', b'Z')],
        "word" => &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z'), (b'_', b'_')],
        "xdigit" => &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')],
        _ => return Err(error("invalid character class range", upto(text, rest))),
    };
    Ok(Some((group(ranges, negated, fold_case), rest)))
}

fn group(ranges: &[(u8, u8)], negated: bool, fold_case: bool) -> ClassUnicode {
    let ranges = ranges.iter().map(|(low, high)| ClassUnicodeRange::new(*low as char, *high as char));
    let mut class = ClassUnicode::new(ranges);
    if fold_case {
        class = fold(class);
    }
    if negated {
        class.negate();
    }
    class
}

/// `\d`, `\pN`, `\p{Name}` and their like at the start of `text`.
pub(super) fn class_escape(text: &str, fold_case: bool) -> Result<Option<(ClassUnicode, &str)>, SyntaxError> {
    let Some(letter) = text.strip_prefix('\\').and_then(|rest| rest.chars().next()) else { return Ok(None) };
    let ranges: &[(u8, u8)] = match letter.to_ascii_lowercase() {
        'd' => &[(b'0', b'9')],
        's' => &[(b'\t', b'\n'), (0xc, b'\r'), (b' ', b' ')],
        'w' => &[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')],
        'p' => return unicode(text, letter == 'P', fold_case),
        _ => return Ok(None),
    };
    Ok(Some((group(ranges, letter.is_ascii_uppercase(), fold_case), &text[2..])))
}

fn unicode(text: &str, negated: bool, fold_case: bool) -> Result<Option<(ClassUnicode, &str)>, SyntaxError> {
    let first = text[2..].chars().next();
    let first = first.ok_or_else(|| error("invalid character class range", text))?;
    let (name, end) = if first == '{' {
        let end = text.find('}').ok_or_else(|| error("invalid character class range", text))?;
        (&text[3..end], end + 1)
    } else {
        let end = 2 + first.len_utf8();
        (&text[2..end], end)
    };
    let (negated, name) = match name.strip_prefix('^') {
        Some(name) => (!negated, name),
        None => (negated, name),
    };
    let unknown = || error("invalid character class range", &text[..end]);
    let class = named(name, negated, fold_case).ok_or_else(unknown)?;
    Ok(Some((class, &text[end..])))
}

/// Classes by name, negation and folding. Making one takes up to a tenth of a millisecond, and a pattern may name it
/// thousands of times.
static MADE: Mutex<BTreeMap<(String, bool, bool), ClassUnicode>> = Mutex::new(BTreeMap::new());
const MADE_MAX: usize = 256;

fn named(name: &str, negated: bool, fold_case: bool) -> Option<ClassUnicode> {
    let key = (name.to_owned(), negated, fold_case);
    let made = || MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(class) = made().get(&key) {
        return Some(class.clone());
    }
    let mut class = table(name)?;
    if fold_case {
        class = fold(class);
    }
    if negated {
        class.negate();
    }
    let mut made = made();
    if made.len() < MADE_MAX {
        made.insert(key, class.clone());
    }
    Some(class)
}

/// The characters of a general category or script.
fn table(name: &str) -> Option<ClassUnicode> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ' ');
    if name.is_empty() || !name.chars().all(plain) {
        return None;
    }
    let canonical: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    if canonical.eq_ignore_ascii_case("cs") || canonical.eq_ignore_ascii_case("surrogate") {
        return Some(ClassUnicode::empty());
    }
    ["gc", "sc"].into_iter().find_map(|property| {
        let hir = regex_syntax::parse(&format!(r"\p{{{property}={canonical}}}")).ok()?;
        match hir.into_kind() {
            HirKind::Class(Class::Unicode(class)) => Some(class),
            HirKind::Literal(literal) => {
                let c = std::str::from_utf8(&literal.0).ok()?.chars().next()?;
                Some(ClassUnicode::new([ClassUnicodeRange::new(c, c)]))
            }
            _ => None,
        }
    })
}

/// A character behind a backslash at the start of `text`: its code and what follows.
pub(super) fn char_escape(text: &str) -> Result<(u32, &str), SyntaxError> {
    let mut chars = text[1..].chars();
    let Some(c) = chars.next() else { return Err(error("trailing backslash at end of expression", "")) };
    let rest = chars.as_str();
    let octal = |c: Option<char>| c.and_then(|c| c.to_digit(8));
    let code = match c {
        '1'..='7' if octal(rest.chars().next()).is_none() => None,
        '0'..='7' => {
            let mut code = c as u32 - '0' as u32;
            for _ in 0..2 {
                let Some(digit) = octal(chars.clone().next()) else { break };
                code = code * 8 + digit;
                chars.next();
            }
            Some(code)
        }
        'x' => hex(&mut chars),
        'a' => Some(7),
        'f' => Some(12),
        'n' => Some(10),
        'r' => Some(13),
        't' => Some(9),
        'v' => Some(11),
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c as u32),
        _ => None,
    };
    match code {
        Some(code) => Ok((code, chars.as_str())),
        None => Err(error("invalid escape sequence", upto(text, chars.as_str()))),
    }
}

/// Two hexadecimal digits, or any number in braces.
fn hex(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let first = chars.next()?;
    if first != '{' {
        // Go reads the second one before it looks at the first.
        let second = chars.next();
        return Some(first.to_digit(16)? * 16 + second?.to_digit(16)?);
    }
    let (mut code, mut digits) = (0u32, 0);
    loop {
        match chars.next()? {
            '}' if digits > 0 => return Some(code),
            c => code = code * 16 + c.to_digit(16)?,
        }
        digits += 1;
        if code > char::MAX as u32 {
            return None;
        }
    }
}
