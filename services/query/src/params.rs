//! Request parameters: the URL's query and the form body, parsed as by Go's `net/http` and `strconv`.

mod duration;
mod multipart;
mod number;
mod time;
mod urlencoded;

use std::borrow::Cow;

pub(crate) use self::duration::{GoDuration, parse_duration};
pub(crate) use self::multipart::read_multipart;
pub(crate) use self::number::{parse_bool, parse_int};
pub(crate) use self::time::{GoTime, parse_time};
use crate::error::ApiError;
use crate::options::Dialect;

/// The parameters of one request. Parameters of a form body come before those of the URL, or after them when the body
/// is `multipart/form-data`.
#[derive(Debug, Default)]
pub(crate) struct Params {
    pairs: Vec<(String, String)>,
    /// Go's message for the first malformed pair; such pairs are left out.
    malformed: Option<String>,
}

impl Params {
    /// Parses `form` and `url_query`, both URL-encoded. Malformed pairs are left out, as in Go.
    pub(crate) fn parse(form: &[u8], url_query: &str) -> Params {
        let mut params = Params::default();
        for text in [form, url_query.as_bytes()] {
            if let Err(malformed) = urlencoded::read(text, &mut params.pairs) {
                params.malformed.get_or_insert(malformed);
            }
        }
        params
    }

    /// Appends further pairs.
    pub(crate) fn with(mut self, pairs: Vec<(String, String)>) -> Params {
        self.pairs.extend(pairs);
        self
    }

    /// Fails when a pair was malformed. Only some endpoints check; for the others the parameter is missing.
    pub(crate) fn check_form(&self, dialect: Dialect) -> Result<(), ApiError> {
        let Some(malformed) = &self.malformed else { return Ok(()) };
        Err(match dialect {
            Dialect::Prometheus => ApiError::bad_data(format!("error parsing form values: {malformed}")),
            Dialect::Thanos => ApiError::internal(format!("parse form: {malformed}")),
        })
    }

    /// Whether parsing them takes only microseconds, less than the way to the CPU pool and back: they are short and
    /// have no regular expression.
    pub(crate) fn are_short(&self) -> bool {
        const BYTES_MAX: usize = 512;
        let bytes: usize = self.pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        bytes <= BYTES_MAX && !self.pairs.iter().any(|(_, value)| value.contains('~'))
    }

    /// The first value of `name`, or the empty string.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.pairs.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v)
    }

    /// All values of `name`, in order.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs.iter().filter(move |(k, _)| k == name).map(|(_, v)| v.as_str())
    }

    /// Whether `name` is given, even if it is empty.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(k, _)| k == name)
    }
}

/// The text in double quotes, as Go's `%q` prints it.
pub(crate) fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    tithon_index::write_quoted(&mut out, s.as_bytes()).expect("writing to a String cannot fail");
    out
}

/// Removes underscores where Go allows them in numbers: between digits, or between a base prefix and a digit. `None`
/// for an underscore elsewhere.
fn without_underscores(s: &str) -> Option<Cow<'_, str>> {
    if !s.contains('_') {
        return Some(Cow::Borrowed(s));
    }
    let unsigned = s.strip_prefix(['+', '-']).unwrap_or(s);
    let lower = unsigned.to_ascii_lowercase();
    let hex = lower.starts_with("0x");
    let (mut before, rest) =
        match lower.strip_prefix("0x").or(lower.strip_prefix("0b")).or(lower.strip_prefix("0o")) {
            Some(rest) => ('0', rest),
            None => ('^', lower.as_str()),
        };
    for c in rest.chars() {
        let class = match c {
            '0'..='9' => '0',
            'a'..='f' if hex => '0',
            '_' if before == '0' => '_',
            '_' => return None,
            _ if before == '_' => return None,
            _ => '!',
        };
        before = class;
    }
    (before != '_').then(|| Cow::Owned(s.replace('_', "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_comes_before_url() {
        let params = Params::parse(b"a=1&m=x", "a=2&m=y+z&m=%7B%7D&e=");
        assert_eq!(params.get("a"), "1");
        assert_eq!(params.all("m").collect::<Vec<_>>(), ["x", "y z", "{}"]);
        assert!(params.has("e") && !params.has("f"));
    }

    #[test]
    fn underscores_as_in_go() {
        assert_eq!(without_underscores("1_000").as_deref(), Some("1000"));
        assert_eq!(without_underscores("0x_1p2").as_deref(), Some("0x1p2"));
        for bad in ["_1", "1_", "1__0", "1_.5", "1._5"] {
            assert_eq!(without_underscores(bad), None, "{bad}");
        }
    }
}
