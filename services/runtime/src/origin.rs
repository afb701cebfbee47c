//! Protects requests that change something: they must come from our own pages or from a program, not from another web
//! page in the operator's browser.

use axum::http::{HeaderMap, HeaderName, Uri, header};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether the headers allow a change. Browsers send the origin of the page that makes a request, which pages cannot
/// forge; programs such as curl send none. Fetch standard, `Origin`; Fetch metadata, `Sec-Fetch-Site`.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text(&SEC_FETCH_SITE), text(&header::ORIGIN)) {
        (Some("same-origin" | "none"), _) | (None, None) => true,
        // For browsers without fetch metadata, the origin must be the host the request was sent to, before any proxy.
        (None, Some(origin)) => {
            let host = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().map(ToString::to_string));
            host.is_some_and(|host| {
                [&header::HOST, &X_FORWARDED_HOST].into_iter().any(|name| text(name) == Some(&host))
            })
        }
        (Some(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn pages_of_other_origins_change_nothing() {
        for (given, allowed) in [
            (&[("host", "h:1")][..], true),
            (&[("host", "h:1"), ("origin", "http://h:1")], true),
            (&[("host", "inner"), ("x-forwarded-host", "h"), ("origin", "https://h")], true),
            (&[("host", "h:1"), ("origin", "http://h:2")], false),
            (&[("host", "h:1"), ("origin", "null")], false),
            (&[("host", "h:1"), ("origin", "")], false),
            (&[("host", "inner"), ("origin", "https://h"), ("sec-fetch-site", "same-origin")], true),
            (&[("host", "h"), ("sec-fetch-site", "none")], true),
            (&[("host", "h"), ("origin", "http://h"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "h"), ("sec-fetch-site", "same-site")], false),
        ] {
            let headers: HeaderMap = given
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
                .collect();
            assert_eq!(is_same_origin(&headers), allowed, "{given:?}");
        }
    }
}
