//! Errors of Go's regular expression syntax. Source: Go 1.26, `regexp/syntax/parse.go`.

/// Where the expression is wrong, in Go's words: the code and the part at fault.
pub(super) type SyntaxError = String;

pub(super) fn error(code: &str, at: &str) -> SyntaxError {
    format!("{code}: `{at}`")
}

/// What of `from` lies before `rest`, which is its end.
pub(super) fn upto<'a>(from: &'a str, rest: &str) -> &'a str {
    &from[..from.len().saturating_sub(rest.len())]
}
