//! Labels in flags, `NAME="VALUE"`. Thanos `cmd/thanos/config.go`.

/// Parses a label; the value is a quoted text in Go's syntax.
pub fn parse_label(text: &str) -> Result<(String, String), String> {
    let wrong = || format!("expected NAME=\"VALUE\", found {text:?}");
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    if name.is_empty() {
        return Err(wrong());
    }
    let value = match value.strip_prefix('`').and_then(|value| value.strip_suffix('`')) {
        Some(raw) if !raw.contains('`') => raw.to_owned(),
        // Go's quoted texts are JSON's except for escapes of single bytes.
        _ => serde_json::from_str::<String>(value).map_err(|_| wrong())?,
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted() {
        let label = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(parse_label(r#"region="eu""#), label("region", "eu"));
        assert_eq!(parse_label(r#"region="e\"u""#), label("region", "e\"u"));
        assert_eq!(parse_label("region=`e u`"), label("region", "e u"));
        for text in ["region", "region=eu", "=\"eu\"", "region=\"eu", ""] {
            assert!(parse_label(text).is_err(), "{text}");
        }
    }
}
