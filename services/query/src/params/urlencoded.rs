//! Parses URL-encoded pairs as Go's `net/url.ParseQuery` does.

/// Appends the pairs of `text`. Pairs with a malformed escape or a semicolon are left out, and the first of them is the
/// error. Bytes that are not UTF-8 become replacement characters.
pub(super) fn read(text: &[u8], pairs: &mut Vec<(String, String)>) -> Result<(), String> {
    let mut result = Ok(());
    for pair in text.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        match read_pair(pair) {
            Ok(pair) => pairs.push(pair),
            Err(malformed) => result = result.and(Err(malformed)),
        }
    }
    result
}

fn read_pair(pair: &[u8]) -> Result<(String, String), String> {
    if pair.contains(&b';') {
        return Err("invalid semicolon separator in query".to_owned());
    }
    let equals = pair.iter().position(|b| *b == b'=');
    let (name, value) = equals.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
    Ok((unescape(name)?, unescape(value)?))
}

fn unescape(text: &[u8]) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |at: usize| tail.get(at).and_then(|b| char::from(*b).to_digit(16));
                let (Some(high), Some(low)) = (digit(0), digit(1)) else {
                    let shown = String::from_utf8_lossy(&tail[..tail.len().min(2)]).into_owned();
                    return Err(format!("invalid URL escape {}", super::quote(&format!("%{shown}"))));
                };
                // Two hexadecimal digits fit in a byte.
                out.push((high << 4 | low) as u8);
                rest = &tail[2..];
            }
            byte => out.push(*byte),
        }
    }
    Ok(String::from_utf8(out).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_in_go() {
        let check = |text: &str, want: &[(&str, &str)], malformed: Option<&str>| {
            let mut pairs = Vec::new();
            let result = read(text.as_bytes(), &mut pairs);
            let got: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(got, want, "{text}");
            assert_eq!(result.err().as_deref(), malformed, "{text}");
        };
        check("", &[], None);
        check(
            "a=1&&b=x+y%20z&c&=d&e=f=g",
            &[("a", "1"), ("b", "x y z"), ("c", ""), ("", "d"), ("e", "f=g")],
            None,
        );
        check("a=%zz&b=1", &[("b", "1")], Some("invalid URL escape \"%zz\""));
        check("a=%4", &[], Some("invalid URL escape \"%4\""));
        check("a=%&b=%f", &[], Some("invalid URL escape \"%\""));
        check("a=1;b=2&c=3", &[("c", "3")], Some("invalid semicolon separator in query"));
        check("%61=%C3%A4%ff", &[("a", "ä\u{fffd}")], None);
    }
}
