//! Mistakes in YAML, described by position and key but never by values, since configurations contain secrets.

use std::fmt;

/// A mistake in a YAML text: its position and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlFault {
    /// From 1; 0 if unknown.
    line: u64,
    /// From 1.
    column: u64,
    /// The key at the position.
    key: Option<String>,
    reason: String,
}

impl YamlFault {
    /// Describes the parser's error without quoting values of `text`.
    pub fn new(text: &str, error: &serde_saphyr::Error) -> YamlFault {
        let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
        let message = error.without_snippet().to_string();
        // Messages with these words name a key; others may quote a value.
        let about_keys = ["unknown field", "missing field", "duplicate"];
        let named = about_keys.iter().find_map(|word| message.find(word));
        let reason = match named.and_then(|at| message[at..].lines().next()) {
            // The quoted text is a key, unless a text without a colon was mistaken for one.
            Some(reason) if reason.split('`').nth(1).is_none_or(is_name) => reason.to_owned(),
            Some(_) => "unexpected key".to_owned(),
            None => "this is not what is expected here".to_owned(),
        };
        YamlFault { line, column, key: key_at(text, line, column), reason }
    }
}

impl fmt::Display for YamlFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}, ", self.line, self.column)?;
        }
        if let Some(key) = &self.key {
            write!(f, "key {key:?}: ")?;
        }
        f.write_str(&self.reason)
    }
}

impl std::error::Error for YamlFault {}

/// The last key at or before a position: a name before a colon, at the start of a line or after a bracket or comma.
fn key_at(text: &str, line: u64, column: u64) -> Option<String> {
    let line = usize::try_from(line).ok()?.checked_sub(1)?;
    let mut lines: Vec<&str> = text.lines().take(line + 1).collect();
    if lines.len() == line + 1
        && let Some(last) = lines.last_mut()
        && key_in(last).is_none_or(|_| last.contains('{'))
    {
        *last = &last[..end_of_place(last, usize::try_from(column).ok()?)];
    }
    lines.into_iter().rev().find_map(key_in)
}

/// Where what stands at a column (from 1) of a line ends: behind the colon of the key that begins there, else behind
/// that character. A byte offset.
fn end_of_place(line: &str, column: usize) -> usize {
    let at = |nth: usize| line.char_indices().nth(nth).map_or(line.len(), |(at, _)| at);
    let rest = &line[at(column.saturating_sub(1))..];
    match rest.split_once(':') {
        Some((name, value)) if is_key(name, value) => line.len() - rest.len() + name.len() + 1,
        _ => at(column),
    }
}

/// The last key in a line.
fn key_in(line: &str) -> Option<String> {
    let key = |part: &str| {
        let (name, value) = part.trim_start().trim_start_matches("- ").split_once(':')?;
        let name = name.trim();
        is_key(name, value).then(|| unquoted(name).to_owned())
    };
    line.split(['{', ',']).rev().find_map(key)
}

/// Whether what stands before a colon is a key, by that and by what follows the colon.
fn is_key(name: &str, value: &str) -> bool {
    is_name(unquoted(name)) && (value.is_empty() || value.starts_with(' '))
}

fn unquoted(name: &str) -> &str {
    name.trim_matches(['"', '\''])
}

/// Whether a text looks like the name of a setting.
fn is_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_place() {
        let text = "type: S3\nconfig:\n  bucket: b\n  secret_key: [hunter2\n  more\n";
        for (line, column, key) in
            [(1, 7, "type"), (3, 11, "bucket"), (4, 15, "secret_key"), (5, 3, "secret_key")]
        {
            assert_eq!(key_at(text, line, column).as_deref(), Some(key), "{line}");
        }
        let flow = "{type: S3, config: {secret_key: hunter2, bucket: [}}";
        assert_eq!(key_at(flow, 1, 50).as_deref(), Some("bucket"));
        assert_eq!(key_at(flow, 1, 34).as_deref(), Some("secret_key"));
        assert_eq!(key_at(flow, 1, 21).as_deref(), Some("secret_key"), "a key's own place");
        assert_eq!(key_at("type: S3\nkonfig: {a: 1}", 2, 1).as_deref(), Some("konfig"));
        assert_eq!(key_at("http://u:hunter2@h", 1, 3), None);
        assert_eq!(key_at("", 9, 9), None);
    }
}
