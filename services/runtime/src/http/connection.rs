//! Serves one HTTP connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;
use tracing::debug;

use super::long_query::{AnswerBody, CutLines, NextRequest};
use crate::tls::handshake;
use crate::{Client, Subject};

/// Time to receive the head of a request; also closes idle connections.
const HEAD_MAX: Duration = Duration::from_secs(60);
/// A client that does not answer a ping of HTTP/2 for this long is disconnected.
const PONG_MAX: Duration = Duration::from_secs(10);
/// A client that reads nothing of its answer for this long is disconnected.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Largest size in bytes of a request's headers.
const HEAD_BYTES_MAX: usize = 1 << 20;
/// Number of concurrent requests per HTTP/2 connection.
const STREAMS_MAX: u32 = 250;

/// Serves a connection until it ends, or ends it gracefully when the watcher says so.
pub(super) async fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    router: axum::Router,
    watcher: Watcher,
) {
    // Otherwise the last packet of an answer waits for the acknowledgement of the previous one, up to 40 ms.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(error = %error, "connection is gone");
        return;
    }
    let address = stream.peer_addr().ok();
    let client = |subject| Arc::new(Client { address, subject });
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(STALL_MAX));
    let stream = Box::pin(stream);
    let ended = match tls {
        None => serve_http1(stream, client(None), router, watcher).await,
        Some(config) => {
            let Some(stream) = handshake(config, stream).await else { return };
            let session = stream.get_ref().1;
            let certificate = session.peer_certificates().and_then(|chain| chain.first());
            let client = client(certificate.and_then(|certificate| Subject::of(certificate)));
            match session.alpn_protocol() {
                Some(b"h2") => serve_http2(stream, client, router, watcher).await,
                _ => serve_http1(stream, client, router, watcher).await,
            }
        }
    };
    if let Err(error) = ended {
        debug!(error = %error, "connection ended early");
    }
}

async fn serve_http1<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    client: Arc<Client>,
    router: axum::Router,
    watcher: Watcher,
) -> hyper::Result<()> {
    let next = NextRequest::default();
    let stream = CutLines::new(stream, next.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&client));
        answer(request, router.clone(), next.clone())
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await
}

async fn serve_http2<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    client: Arc<Client>,
    router: axum::Router,
    watcher: Watcher,
) -> hyper::Result<()> {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::clone(&client));
        router.clone().oneshot(request.map(Body::new))
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(STREAMS_MAX as usize)
        .keep_alive_interval(HEAD_MAX)
        .keep_alive_timeout(PONG_MAX)
        .serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await
}

/// Answers a request of an HTTP/1 connection.
async fn answer(
    mut request: Request<Incoming>,
    router: axum::Router,
    next: NextRequest,
) -> Result<Response<Body>, Infallible> {
    if next.is_too_long() {
        return Ok(too_long());
    }
    if let Some(query) = next.take_query() {
        request.extensions_mut().insert(query);
    }
    let has_body = !request.body().is_end_stream();
    let response = router.oneshot(request.map(Body::new)).await?;
    if has_body {
        return Ok(response);
    }
    Ok(response.map(|body| Body::new(AnswerBody { body, next })))
}

fn too_long() -> Response<Body> {
    const TEXT: &str = "431 Request Header Fields Too Large";
    let mut response = Response::new(Body::from(TEXT));
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
