//! Writes JSON strings. Labels are escaped as JSON requires; other text as Go's encoder does, which also escapes HTML's
//! special characters and U+2028 and U+2029. Bytes that are not UTF-8 become U+FFFD.

/// Writes a label name or value.
pub(crate) fn push_label_text(out: &mut Vec<u8>, text: &[u8]) {
    push(out, text, false);
}

/// Writes any other text.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    push(out, text, true);
}

fn push(out: &mut Vec<u8>, text: &[u8], html: bool) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        push_valid(out, chunk.valid(), html);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

fn push_valid(out: &mut Vec<u8>, text: &str, html: bool) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, b) in bytes.iter().enumerate() {
        let short = match b {
            b'"' | b'\\' => *b,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => 0,
            b'<' | b'>' | b'&' if html => 0,
            // U+2028 and U+2029 are e2 80 a8 and e2 80 a9 in UTF-8.
            0xe2 if html && bytes[at + 1] == 0x80 && matches!(bytes[at + 2], 0xa8 | 0xa9) => {
                out.extend_from_slice(&bytes[copied..at]);
                out.extend_from_slice(if bytes[at + 2] == 0xa8 { b"\\u2028" } else { b"\\u2029" });
                copied = at + 3;
                continue;
            }
            _ => continue,
        };
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match short {
            0 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(b >> 4)]);
                out.push(HEX[usize::from(b & 15)]);
            }
            c => out.extend_from_slice(&[b'\\', c]),
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &[u8], html: bool) -> String {
        let mut out = Vec::new();
        push(&mut out, s, html);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn escapes() {
        assert_eq!(text(b"a\"b\\c\n\r\t\x01", false), r#""a\"b\\c\n\r\t\u0001""#);
        assert_eq!(text("ü<&>\u{2028}".as_bytes(), false), "\"ü<&>\u{2028}\"");
        assert_eq!(text("ü<&>\u{2028}\u{2029}x".as_bytes(), true), r#""ü\u003c\u0026\u003e\u2028\u2029x""#);
        assert_eq!(text(b"a\xffb\xe2\x80", true), r#""a\ufffdb\ufffd""#);
    }
}
