//! `label_replace` and `label_join`: they change labels of whole series and look at no sample.

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

use crate::ast::Call;
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::frame::{Frame, Steps, label_bytes};
use crate::ops::merge;

/// Whether a label may have this name.
pub(crate) fn is_label_name(name: &[u8]) -> bool {
    !name.is_empty() && std::str::from_utf8(name).is_ok()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `label_replace(v, dst, replacement, src, regex)`
pub(super) fn replace(ev: &Evaluator<'_>, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
    let arg = |i: usize| ev.text(call.args[i]);
    let (dst, replacement, src, pattern) = (arg(1), arg(2), arg(3), arg(4));
    let regex = tithon_index::anchored_regex(pattern).map_err(|_| {
        QueryError::Execution(format!("invalid regular expression in label_replace(): {}", text(pattern)))
    })?;
    if !is_label_name(dst) {
        let dst = text(dst);
        return Err(QueryError::Execution(format!(
            "invalid destination label name in label_replace(): {dst}"
        )));
    }
    let mut frame = ev.frame(call.args[0], steps)?;
    let template = Template::parse(&regex, replacement);
    let mut captures = regex.create_captures();
    let mut new = Vec::new();
    for row in &mut frame.rows {
        ev.check_cancelled()?;
        let value = row.labels.get(src).unwrap_or_default();
        regex.captures(value, &mut captures);
        if !captures.is_match() {
            continue;
        }
        // Before it is made: a replacement may repeat a long value many times. It is made twice, here and in the labels.
        ev.budget.add(0, 2 * template.len(&captures))?;
        template.expand(&captures, value, &mut new);
        row.labels = row.labels.to_builder().set(dst, &new).finish();
        ev.budget.add(0, label_bytes(&row.labels))?;
        row.drop_name &= dst != b"__name__";
    }
    merge::equal_labels(frame)
}

/// A replacement, read once: texts and the groups between them.
struct Template<'a> {
    parts: Vec<Piece<'a>>,
}

enum Piece<'a> {
    Text(&'a [u8]),
    Group(usize),
}

impl<'a> Template<'a> {
    /// Reads `$1`, `${1}`, `$name`, `${name}` and `$$`; what is malformed stays as it is, groups that there are not are
    /// empty.
    fn parse(regex: &Regex, text: &'a [u8]) -> Template<'a> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.iter().position(|c| *c == b'$') {
            let after = &rest[at + 1..];
            if after.first() == Some(&b'$') {
                parts.push(Piece::Text(&rest[..=at]));
                rest = &after[1..];
                continue;
            }
            let Some((name, used)) = reference(after) else {
                parts.push(Piece::Text(&rest[..=at]));
                rest = after;
                continue;
            };
            parts.push(Piece::Text(&rest[..at]));
            let group = match name.parse::<usize>() {
                Ok(i) if name.bytes().all(|c| c.is_ascii_digit()) => Some(i),
                _ => regex.group_info().to_index(regex_automata::PatternID::ZERO, name),
            };
            parts.extend(group.map(Piece::Group));
            rest = &after[used..];
        }
        parts.push(Piece::Text(rest));
        Template { parts }
    }

    /// How long the replacement of a match is, bytes.
    fn len(&self, captures: &Captures) -> u64 {
        let of = |part: &Piece<'_>| match part {
            Piece::Text(text) => text.len() as u64,
            Piece::Group(i) => captures.get_group(*i).map_or(0, |span| span.len() as u64),
        };
        self.parts.iter().map(of).sum()
    }

    /// Replaces `out` by the replacement of a match in `value`.
    fn expand(&self, captures: &Captures, value: &[u8], out: &mut Vec<u8>) {
        out.clear();
        for part in &self.parts {
            match part {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Group(i) => {
                    out.extend_from_slice(
                        captures.get_group(*i).map_or(&[][..], |span| &value[span.range()]),
                    );
                }
            }
        }
    }
}

/// The name of a group behind a `$`, and how many bytes it takes. Only the characters that may belong to it are read.
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

/// The letters, digits and underscores at the begin of a text.
fn name(body: &[u8]) -> &str {
    let mut len = 0;
    while let Some(c) = first_char(&body[len..]).filter(|c| c.is_alphanumeric() || *c == '_') {
        len += c.len_utf8();
    }
    std::str::from_utf8(&body[..len]).unwrap_or_default()
}

/// The first character; `None` at the end and before bytes that are no UTF-8.
fn first_char(text: &[u8]) -> Option<char> {
    let few = &text[..text.len().min(4)];
    few.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next())
}

/// `label_join(v, dst, separator, src...)`
pub(super) fn join(ev: &Evaluator<'_>, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
    let arg = |i: usize| ev.text(call.args[i]);
    let (dst, separator) = (arg(1), arg(2));
    let sources: Vec<&[u8]> = (3..call.args.len()).map(arg).collect();
    if let Some(bad) = sources.iter().find(|name| !is_label_name(name)) {
        let bad = text(bad);
        return Err(QueryError::Execution(format!("invalid source label name in label_join(): {bad}")));
    }
    if !is_label_name(dst) {
        let dst = text(dst);
        return Err(QueryError::Execution(format!("invalid destination label name in label_join(): {dst}")));
    }
    let mut frame = ev.frame(call.args[0], steps)?;
    let separators = sources.len().saturating_sub(1) as u64 * separator.len() as u64;
    for row in &mut frame.rows {
        ev.check_cancelled()?;
        let values: Vec<&[u8]> =
            sources.iter().map(|name| row.labels.get(name).unwrap_or_default()).collect();
        // Before it is made; it is made twice, here and in the labels.
        ev.budget.add(0, 2 * (separators + values.iter().map(|value| value.len() as u64).sum::<u64>()))?;
        let joined = values.join(separator);
        row.labels = row.labels.to_builder().set(dst, &joined).finish();
        ev.budget.add(0, label_bytes(&row.labels))?;
        row.drop_name &= dst != b"__name__";
    }
    merge::equal_labels(frame)
}
