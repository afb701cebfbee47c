//! Matchers in flags, in Alertmanager's syntax: `{cluster="eu", replica!=b}`; braces and quotes are optional.

use std::sync::Arc;

use tithon_index::{MatchOp, Matcher};

/// Parses matchers; an empty text has none.
pub fn parse_matchers(text: &str) -> Result<Arc<[Matcher]>, String> {
    let text = text.trim();
    let inner = match (text.strip_prefix('{'), text.ends_with('}')) {
        (Some(rest), true) => &rest[..rest.len() - 1],
        (None, false) => text,
        _ => return Err(format!("found {text:?}, expected braces on both sides or on none")),
    };
    let parts = split(inner).into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts.map(parse).collect()
}

/// Splits a text at commas outside quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn parse(part: &str) -> Result<Matcher, String> {
    let expected =
        || format!("found {part:?}, expected a matcher such as name=\"value\" or name=~\"pattern\"");
    let at = part.find(['=', '!']).ok_or_else(expected)?;
    let (name, rest) = (part[..at].trim(), &part[at..]);
    let operators =
        [("=~", MatchOp::Regex), ("!~", MatchOp::NotRegex), ("!=", MatchOp::NotEqual), ("=", MatchOp::Equal)];
    let found = operators.iter().find_map(|(text, op)| Some((*op, rest.strip_prefix(text)?)));
    let (op, value) = found.filter(|_| !name.is_empty()).ok_or_else(expected)?;
    let value = value.trim();
    let value = match value.starts_with('"') {
        true => serde_json::from_str(value).map_err(|_| expected())?,
        false => value.to_owned(),
    };
    Matcher::new(op, name.trim_matches('"'), value).map_err(|error| format!("{part}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_alertmanager_reads_them() {
        let parsed = |text: &str| -> Vec<String> {
            parse_matchers(text).unwrap().iter().map(Matcher::to_string).collect()
        };
        assert_eq!(parsed(""), [""; 0]);
        assert_eq!(parsed("{}"), [""; 0]);
        let all = ["a=\"b,c\"", "d!=\"e\"", "f=~\"g.*\"", "h!~\"\""];
        assert_eq!(parsed(r#"{a="b,c", d!=e, f=~"g.*",h!~"",}"#), all);
        assert_eq!(parsed(r#"a="b,c",d!="e",f=~g.*,h!~"#), all);
        for text in ["{a=b", "a", "=b", "a=\"b", "a=~("] {
            assert!(parse_matchers(text).is_err(), "{text}");
        }
    }
}
