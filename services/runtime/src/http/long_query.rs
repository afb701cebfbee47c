//! Supports URLs longer than the HTTP library allows: its limit is 64 KiB, that of Go's servers a megabyte.
//!
//! A long query is cut out of the request line before the library sees it, and added to the request as an extension
//! ([`LongQuery`]).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Request lines up to this length are left unchanged.
const LINE_PLAIN_MAX: usize = 60_000;
/// Longest request line, as in Go (`http.DefaultMaxHeaderBytes` plus its slack).
const LINE_MAX: usize = (1 << 20) + 4096;
/// Number of bytes read of a line that is too long before it is answered: clients do not read an answer while they
/// still send.
const DISCARDED_MAX: usize = 16 << 20;

/// The query of a URL that was too long for the library; an extension of its request.
#[derive(Clone, Debug)]
pub struct LongQuery(pub String);

/// The query of a request's URL, of any length; empty if there is none.
pub fn url_query<B>(request: &Request<B>) -> &str {
    match request.extensions().get::<LongQuery>() {
        Some(long) => &long.0,
        None => request.uri().query().unwrap_or_default(),
    }
}

/// The data about the next request that the reading side of a connection passes to its service.
#[derive(Clone, Debug, Default)]
pub(super) struct NextRequest(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// Whether the next bytes of the connection begin a request.
    at_start: bool,
    query: Option<String>,
    too_long: bool,
}

impl Default for State {
    fn default() -> State {
        State { at_start: true, query: None, too_long: false }
    }
}

impl NextRequest {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Called when the answer to a request without a body was sent: the next bytes begin another request.
    pub(super) fn answered(&self) {
        self.with(|state| state.at_start = true);
    }

    /// The long query that was cut out of the current request.
    pub(super) fn take_query(&self) -> Option<LongQuery> {
        self.with(|state| state.query.take()).map(LongQuery)
    }

    /// Whether the current request is a placeholder for one whose line was too long.
    pub(super) fn is_too_long(&self) -> bool {
        self.with(|state| state.too_long)
    }
}

/// The body of the answer to a request without a body; when it was sent, another request begins.
pub(super) struct AnswerBody {
    pub(super) body: Body,
    pub(super) next: NextRequest,
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.next.answered();
    }
}

/// A connection whose long request lines are cut.
pub(super) struct CutLines<S> {
    stream: S,
    next: NextRequest,
    reading: Reading,
}

enum Reading {
    /// Bytes are passed on unchanged.
    Through,
    /// Collects the beginning of a request, up to the end of its line.
    Line { bytes: Vec<u8>, discarded: usize },
    /// Passes on these bytes first.
    Ready { bytes: Vec<u8>, given: usize, then_end: bool },
    /// Nothing more is read; the answer closes the connection.
    End,
}

impl<S> CutLines<S> {
    pub(super) fn new(stream: S, next: NextRequest) -> CutLines<S> {
        CutLines { stream, next, reading: Reading::Through }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CutLines<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let this = &mut *self;
        loop {
            match &mut this.reading {
                Reading::Through => {
                    if !this.next.with(|state| std::mem::take(&mut state.at_start)) {
                        return Pin::new(&mut this.stream).poll_read(context, out);
                    }
                    this.reading = Reading::Line { bytes: Vec::new(), discarded: 0 };
                }
                Reading::Line { bytes, discarded } => {
                    let mut part = [0; 8192];
                    let mut part = ReadBuf::new(&mut part);
                    ready!(Pin::new(&mut this.stream).poll_read(context, &mut part))?;
                    let part = part.filled();
                    let ended = part.is_empty() || part.contains(&b'\n');
                    if bytes.len() <= LINE_MAX {
                        bytes.extend_from_slice(part);
                    } else {
                        *discarded += part.len();
                    }
                    let is_plain = bytes.len() <= LINE_PLAIN_MAX || !bytes.starts_with(b"GET /");
                    if ended || (is_plain && bytes.len() > LINE_PLAIN_MAX) || *discarded > DISCARDED_MAX {
                        let bytes = std::mem::take(bytes);
                        this.reading = if is_plain {
                            Reading::Ready { bytes, given: 0, then_end: false }
                        } else {
                            cut(bytes, &this.next)
                        };
                    }
                }
                Reading::Ready { bytes, given, then_end } => {
                    let n = out.remaining().min(bytes.len() - *given);
                    out.put_slice(&bytes[*given..*given + n]);
                    *given += n;
                    if *given == bytes.len() {
                        this.reading = if *then_end { Reading::End } else { Reading::Through };
                    }
                    return Poll::Ready(Ok(()));
                }
                // An end of input would tell the library that the client is gone.
                Reading::End => return Poll::Pending,
            }
        }
    }
}

/// Cuts the query out of the long line at the beginning of `bytes`.
fn cut(bytes: Vec<u8>, next: &NextRequest) -> Reading {
    let line_len = bytes.iter().position(|b| *b == b'\n').unwrap_or(bytes.len());
    if line_len > LINE_MAX {
        next.with(|state| state.too_long = true);
        let stand_in = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_vec();
        return Reading::Ready { bytes: stand_in, given: 0, then_end: true };
    }
    let line = &bytes[..line_len];
    let query = line.iter().position(|b| *b == b'?').map_or(line_len, |at| at + 1);
    let version = line.iter().rposition(|b| *b == b' ').unwrap_or(line_len);
    let text = bytes.get(query..version).and_then(|text| std::str::from_utf8(text).ok());
    let Some(text) = text.filter(|text| text.bytes().all(|b| b.is_ascii_graphic())) else {
        // The line has no URL; the library refuses it.
        return Reading::Ready { bytes, given: 0, then_end: false };
    };
    next.with(|state| state.query = Some(text.to_owned()));
    let bytes = [&bytes[..query], &bytes[version..]].concat();
    Reading::Ready { bytes, given: 0, then_end: false }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for CutLines<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    /// Reads `sent` through a connection that delivers at most `part` bytes at a time.
    async fn read(sent: &[u8], part: usize) -> (Vec<u8>, NextRequest) {
        let (mut near, far) = tokio::io::duplex(part);
        let sent = sent.to_vec();
        tokio::spawn(async move {
            // The reader may end before all was sent.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut near, &sent).await;
        });
        let next = NextRequest::default();
        let mut got = Vec::new();
        let mut lines = CutLines::new(far, next.clone());
        while !matches!(lines.reading, Reading::End) && lines.read_buf(&mut got).await.unwrap() > 0 {}
        (got, next)
    }

    #[tokio::test]
    async fn short_requests_go_through_as_they_are() {
        for sent in
            [&b""[..], b"GET /?a HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.1\r\n\r\nbody?x", b"\xff?\n"]
        {
            for part in [1, 7, 1000] {
                let (got, next) = read(sent, part).await;
                assert_eq!(got, sent);
                assert!(next.take_query().is_none() && !next.is_too_long());
            }
        }
        let long_body = [b"POST / HTTP/1.1\r\n\r\n".to_vec(), vec![b'x'; 200_000]].concat();
        assert_eq!(read(&long_body, 5000).await.0, long_body);
        let long_header = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'?'; 200_000]].concat();
        assert_eq!(read(&long_header, 5000).await.0, long_header);
    }

    #[tokio::test]
    async fn a_long_query_is_cut_out() {
        let query = "q=".to_owned() + &"x".repeat(500_000);
        let sent = format!("GET /api?{query} HTTP/1.1\r\nHost: x\r\n\r\n");
        let (got, next) = read(sent.as_bytes(), 4096).await;
        assert_eq!(String::from_utf8(got).unwrap(), "GET /api? HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(next.take_query().unwrap().0, query);
    }

    #[tokio::test]
    async fn a_line_over_a_megabyte_is_too_long() {
        let sent = format!("GET /api?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(3 << 20));
        let (got, next) = read(sent.as_bytes(), 65_536).await;
        assert!(got.starts_with(b"GET / HTTP/1.1\r\n"));
        assert!(next.is_too_long());
    }
}
