//! Heads of requests and answers. RFC 9112, sections 2 to 6.

use std::io::Write;

use reqwest::Request;

use super::body::shown;
use super::{Framing, Http1Fault};

/// Longest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 256 << 10;
/// Most headers of an answer.
const HEADERS_MAX: usize = 100;

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// The content type; empty if there is none.
    pub content_type: String,
    /// How the body ends.
    pub framing: Framing,
    /// Whether the connection can be used again behind the body.
    pub keeps_alive: bool,
    /// Whether the client is sent elsewhere.
    pub(super) has_location: bool,
}

impl Head {
    /// Reads the head at the beginning of `bytes`, and its length; `None` if it is not complete.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Http1Fault> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(length) = answer.parse(bytes)? else {
            let is_too_long = bytes.len() >= HEAD_BYTES_MAX;
            return if is_too_long { Err(Http1Fault::HeadTooLong(HEAD_BYTES_MAX)) } else { Ok(None) };
        };
        let status = answer.code.unwrap_or_default();
        let (mut content_type, mut has_location) = (String::new(), false);
        let (mut length_told, mut encoding): (Option<&[u8]>, Option<&[u8]>) = (None, None);
        let mut keeps_alive = answer.version == Some(1);
        for httparse::Header { name, value } in answer.headers.iter() {
            if name.eq_ignore_ascii_case("content-type") {
                content_type = String::from_utf8_lossy(value).into_owned();
            } else if name.eq_ignore_ascii_case("content-length") {
                if length_told.is_some_and(|told| told != *value) {
                    return Err(Http1Fault::ContentLength(shown(value)));
                }
                length_told = Some(value);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                if encoding.is_some() {
                    return Err(Http1Fault::TransferEncoding(shown(value)));
                }
                encoding = Some(value);
            } else if name.eq_ignore_ascii_case("connection") {
                for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    keeps_alive = match () {
                        () if option.eq_ignore_ascii_case(b"close") => false,
                        () if option.eq_ignore_ascii_case(b"keep-alive") => true,
                        () => keeps_alive,
                    };
                }
            } else if name.eq_ignore_ascii_case("location") {
                has_location = true;
            }
        }
        let framing = match (status, encoding, length_told) {
            (100..=199 | 204 | 304, _, _) => Framing::Length(0),
            (_, Some(encoding), _) if encoding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
            (_, Some(encoding), _) => return Err(Http1Fault::TransferEncoding(shown(encoding))),
            (_, None, Some(told)) => Framing::Length(content_length(told)?),
            (_, None, None) => Framing::UntilClose,
        };
        // An answer whose length is told in two ways may be read in two ways.
        keeps_alive &= framing != Framing::UntilClose && (encoding.is_none() || length_told.is_none());
        Ok(Some((Head { status, content_type, framing, keeps_alive, has_location }, length)))
    }

    /// Whether the answer is to be asked for elsewhere.
    pub(super) fn redirects(&self) -> bool {
        matches!(self.status, 301 | 302 | 303 | 307 | 308) && self.has_location
    }
}

fn content_length(value: &[u8]) -> Result<u64, Http1Fault> {
    let digits = str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or_else(|| Http1Fault::ContentLength(shown(value)))
}

/// A request as it is sent, with its body.
pub(super) fn request_bytes(request: &Request) -> Vec<u8> {
    let (url, body) = (request.url(), request.body().and_then(|body| body.as_bytes()));
    let body_bytes = body.unwrap_or_default();
    let mut out = Vec::with_capacity(512 + url.as_str().len() + body_bytes.len());
    // Writing to memory cannot fail.
    let _ = write!(out, "{} {}", request.method(), url.path());
    if let Some(query) = url.query() {
        let _ = write!(out, "?{query}");
    }
    let _ = write!(out, " HTTP/1.1\r\nhost: {}", url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        let _ = write!(out, ":{port}");
    }
    out.extend_from_slice(b"\r\n");
    for (name, default) in [("accept", "*/*"), ("user-agent", super::USER_AGENT)] {
        if !request.headers().contains_key(name) {
            let _ = write!(out, "{name}: {default}\r\n");
        }
    }
    for (name, value) in request.headers() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    if body.is_some() {
        let _ = write!(out, "content-length: {}\r\n", body_bytes.len());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body_bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Result<Head, Http1Fault> {
        let (head, length) = Head::parse(format!("{text}\r\n\r\nrest").as_bytes())?.expect("complete");
        assert_eq!(length, text.len() + 4);
        Ok(head)
    }

    #[test]
    fn framings_of_answers() {
        let framing = |text: &str| head(text).map(|head| (head.framing, head.keeps_alive));
        for (text, expected, keeps_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 12", Framing::Length(12), true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 12\r\nContent-Length: 12", Framing::Length(12), true),
            ("HTTP/1.1 200\r\nTransfer-Encoding: Chunked", Framing::Chunked, true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9", Framing::Chunked, false),
            ("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0", Framing::Length(0), false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1", Framing::Length(1), false),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1", Framing::Length(1), true),
            ("HTTP/1.1 200 OK\r\nA: b", Framing::UntilClose, false),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5", Framing::Length(0), true),
            ("HTTP/1.1 304 Not Modified", Framing::Length(0), true),
        ] {
            assert_eq!(framing(text), Ok((expected, keeps_alive)), "{text:?}");
        }
        let kind = head("HTTP/1.1 200 OK\r\ncontent-TYPE: text/plain; charset=utf-8").unwrap().content_type;
        assert_eq!(kind, "text/plain; charset=utf-8");
        assert!(head("HTTP/1.1 307 Elsewhere\r\nLocation: /x").unwrap().redirects());
        assert!(!head("HTTP/1.1 304 Same\r\nLocation: /x").unwrap().redirects());
    }

    #[test]
    fn what_is_no_head_is_told() {
        for (text, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: -1", "content-length: expected one number, found \"-1\""),
            ("HTTP/1.1 200 OK\r\nContent-Length: +1", "content-length: expected one number, found \"+1\""),
            ("HTTP/1.1 200 OK\r\nContent-Length:", "content-length: expected one number, found \"\""),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2",
                "content-length: expected one number, found \"2\"",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip",
                "transfer-encoding: expected \"chunked\", found \"gzip\"",
            ),
            ("SSH-2.0-OpenSSH_9.2", "head of the answer: invalid HTTP version"),
        ] {
            assert_eq!(head(text).unwrap_err().to_string(), expected, "{text:?}");
        }
        let whole = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(Head::parse(&whole[..end]), Ok(None), "{end}");
        }
        let endless = [&b"HTTP/1.1 200 OK\r\nA: "[..], &vec![b'b'; HEAD_BYTES_MAX]].concat();
        assert_eq!(Head::parse(&endless), Err(Http1Fault::HeadTooLong(HEAD_BYTES_MAX)));
    }

    #[test]
    fn requests_are_written_with_their_headers() {
        let client = reqwest::Client::builder();
        let tls = crate::http_tls(&crate::ClientTlsOptions {
            ca: None,
            identity: None,
            server_name: None,
            skip_verify: true,
            min_version: crate::TlsVersion::V12,
        });
        let client = client.tls_backend_preconfigured(tls.unwrap()).build().unwrap();
        let request =
            client.post("http://[::1]:9090/a%20b?c=d#e").header("X-Y", "z").body("body").build().unwrap();
        let expected = format!(
            "POST /a%20b?c=d HTTP/1.1\r\nhost: [::1]:9090\r\naccept: */*\r\nuser-agent: {}\r\nx-y: z\r\n\
             content-length: 4\r\n\r\nbody",
            super::super::USER_AGENT
        );
        assert_eq!(String::from_utf8(request_bytes(&request)).unwrap(), expected);
        let request = client.get("http://h").header("User-Agent", "me").build().unwrap();
        let expected = "GET / HTTP/1.1\r\nhost: h\r\naccept: */*\r\nuser-agent: me\r\n\r\n";
        assert_eq!(String::from_utf8(request_bytes(&request)).unwrap(), expected);
    }
}
