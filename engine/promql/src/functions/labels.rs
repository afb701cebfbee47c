//! `label_replace` and `label_join`: they change labels of whole series and look at no sample.

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

use crate::ast::Call;
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::frame::{Frame, Steps};
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
    let mut captures = regex.create_captures();
    for row in &mut frame.rows {
        let value = row.labels.get(src).unwrap_or_default();
        regex.captures(value, &mut captures);
        if !captures.is_match() {
            continue;
        }
        let new = expand(&regex, &captures, value, replacement);
        row.labels = row.labels.to_builder().set(dst, &new).finish();
        row.drop_name &= dst != b"__name__";
    }
    merge::equal_labels(frame)
}

/// Fills in `$1`, `${1}`, `$name`, `${name}` and `$$`; what is malformed stays as it is.
fn expand(regex: &Regex, captures: &Captures, value: &[u8], template: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.iter().position(|c| *c == b'$') {
        out.extend_from_slice(&rest[..at]);
        let after = &rest[at + 1..];
        if after.first() == Some(&b'$') {
            out.push(b'$');
            rest = &after[1..];
            continue;
        }
        let Some((name, used)) = reference(after) else {
            out.push(b'$');
            rest = after;
            continue;
        };
        let group = match name.parse::<usize>() {
            Ok(i) if name.bytes().all(|c| c.is_ascii_digit()) => Some(i),
            _ => regex.group_info().to_index(regex_automata::PatternID::ZERO, name),
        };
        if let Some(span) = group.and_then(|i| captures.get_group(i)) {
            out.extend_from_slice(&value[span.range()]);
        }
        rest = &after[used..];
    }
    out.extend_from_slice(rest);
    out
}

/// The name of a group behind a `$`, and how many bytes it takes.
fn reference(after: &[u8]) -> Option<(&str, usize)> {
    let braced = after.first() == Some(&b'{');
    let body = if braced { &after[1..] } else { after };
    let body = body.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let len = body.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(body.len());
    if len == 0 {
        return None;
    }
    if braced {
        return (body.as_bytes().get(len) == Some(&b'}')).then(|| (&body[..len], len + 2));
    }
    Some((&body[..len], len))
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
    for row in &mut frame.rows {
        let values: Vec<&[u8]> =
            sources.iter().map(|name| row.labels.get(name).unwrap_or_default()).collect();
        let joined = values.join(separator);
        row.labels = row.labels.to_builder().set(dst, &joined).finish();
        row.drop_name &= dst != b"__name__";
    }
    merge::equal_labels(frame)
}
