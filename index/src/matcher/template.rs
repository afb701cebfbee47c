//! Replacements, as `label_replace` and relabelling have them: a text with references to the groups of a pattern. Go
//! `regexp.Expand`.

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

/// A parsed replacement: texts, and references to groups between them.
#[derive(Clone, Debug)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(Box<[u8]>),
    Group(usize),
}

impl Template {
    /// Reads `$1`, `${1}`, `$name`, `${name}` and `$$`. Malformed references stay as they are; references to groups that
    /// the pattern does not have are empty.
    pub fn parse(regex: &Regex, text: &[u8]) -> Template {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.iter().position(|c| *c == b'$') {
            let after = &rest[at + 1..];
            if after.first() == Some(&b'$') {
                parts.push(Part::Text(rest[..=at].into()));
                rest = &after[1..];
                continue;
            }
            let Some((name, used)) = reference(after) else {
                parts.push(Part::Text(rest[..=at].into()));
                rest = after;
                continue;
            };
            parts.push(Part::Text(rest[..at].into()));
            let group = match name.parse::<usize>() {
                Ok(i) if name.bytes().all(|c| c.is_ascii_digit()) => Some(i),
                _ => regex.group_info().to_index(regex_automata::PatternID::ZERO, name),
            };
            parts.extend(group.map(Part::Group));
            rest = &after[used..];
        }
        parts.push(Part::Text(rest.into()));
        Template { parts }
    }

    /// The length of the replacement of a match, bytes.
    pub fn len(&self, captures: &Captures) -> u64 {
        let of = |part: &Part| match part {
            Part::Text(text) => text.len() as u64,
            Part::Group(i) => captures.get_group(*i).map_or(0, |span| span.len() as u64),
        };
        self.parts.iter().map(of).sum()
    }

    /// Sets `out` to the replacement of a match in `value`.
    pub fn expand(&self, captures: &Captures, value: &[u8], out: &mut Vec<u8>) {
        out.clear();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Group(i) => {
                    out.extend_from_slice(
                        captures.get_group(*i).map_or(&[][..], |span| &value[span.range()]),
                    );
                }
            }
        }
    }
}

/// The name of the group that follows a `$`, and how many bytes the reference takes. Reads no further than the name.
fn reference(after: &[u8]) -> Option<(&str, usize)> {
    let braced = after.first() == Some(&b'{');
    let body = if braced { &after[1..] } else { after };
    let name = name(body);
    let len = name.len();
    if len == 0 {
        return None;
    }
    if braced {
        return (body.get(len) == Some(&b'}')).then_some((name, len + 2));
    }
    Some((name, len))
}

/// The letters, digits and underscores at the start of a text.
fn name(body: &[u8]) -> &str {
    let mut len = 0;
    while let Some(c) = first_char(&body[len..]).filter(|c| c.is_alphanumeric() || *c == '_') {
        len += c.len_utf8();
    }
    std::str::from_utf8(&body[..len]).unwrap_or_default()
}

/// The first character; `None` at the end of the text and before bytes that are not UTF-8.
fn first_char(text: &[u8]) -> Option<char> {
    let few = &text[..text.len().min(4)];
    few.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next())
}
