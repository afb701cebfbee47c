//! URLs longer than the HTTP library can hold: it takes 64 KiB, Go's servers a megabyte.
//!
//! A request line with a long query is cut before the library sees it; the query waits beside it and is put back as an
//! extension of the request ([`LongQuery`]).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A request line up to here is left to the library.
const LINE_PLAIN_MAX: usize = 60_000;
/// A request line may be this long, as in Go (`http.DefaultMaxHeaderBytes` and its slack).
const LINE_MAX: usize = (1 << 20) + 4096;
/// What is read of a line that is too long before it is answered: a client that still sends does not see the answer.
const DISCARDED_MAX: usize = 16 << 20;

/// The query of a URL that was too long for the library; an extension of its request.
#[derive(Clone, Debug)]
pub struct LongQuery(pub String);

/// The query of a request's URL, however long; empty without one.
pub fn url_query<B>(request: &Request<B>) -> &str {
    match request.extensions().get::<LongQuery>() {
        Some(long) => &long.0,
        None => request.uri().query().unwrap_or_default(),
    }
}

/// What the reading half of a connection tells its service about the request that comes next.
#[derive(Clone, Debug, Default)]
pub(super) struct NextRequest(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// The next bytes of the connection begin a request.
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

    /// The answer to a request without body has been sent: what is read next begins another request.
    pub(super) fn answered(&self) {
        self.with(|state| state.at_start = true);
    }

    /// The long query of the request that has just been read.
    pub(super) fn take_query(&self) -> Option<LongQuery> {
        self.with(|state| state.query.take()).map(LongQuery)
    }

    /// Whether the request that has just been read stands for one whose line was too long.
    pub(super) fn is_too_long(&self) -> bool {
        self.with(|state| state.too_long)
    }
}

/// The body of an answer to a request without body; when it has been sent, another request begins.
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
    /// Bytes go through as they are.
    Through,
    /// The beginning of a request, up to the end of its line.
    Line { bytes: Vec<u8>, discarded: usize },
    /// These bytes come first.
    Ready { bytes: Vec<u8>, given: usize, then_end: bool },
    /// Nothing more is read: the answer closes the connection.
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
                // An end would tell the library that nobody waits for the answer.
                Reading::End => return Poll::Pending,
            }
        }
    }
}

/// Takes the query out of the long line that `bytes` begin with.
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
        // No URL: the library says so.
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

    /// Reads `sent` through a connection whose bytes come in parts of `part` bytes.
    async fn read(sent: &[u8], part: usize) -> (Vec<u8>, NextRequest) {
        let (mut near, far) = tokio::io::duplex(part);
        let sent = sent.to_vec();
        tokio::spawn(async move {
            // The reader may end before all is sent.
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
