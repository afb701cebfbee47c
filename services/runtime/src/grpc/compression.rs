//! Compression of gRPC messages. The server's layer decompresses a request's messages and compresses those of the
//! answer with the same encoding, as servers of grpc-go do; the client's does the reverse.
//!
//! A message is `flag (1) | length (4, big-endian) | bytes`; flag 1 means that the bytes are compressed.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use futures::{Stream, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tithon_chunks::ErrorKind;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tower::Layer;

use super::encoding::GrpcEncoding;
use crate::to_status;

/// Longest decompressed message of a request in bytes; the longest in practice are matchers of some megabytes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Longer messages are compressed off the threads that serve sockets.
const INLINE_BYTES_MAX: usize = 128 << 10;
/// Length of the prefix: flag and length.
const HEAD: usize = 5;
const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// The encodings that a client can decompress.
const ACCEPTED: HeaderValue = HeaderValue::from_static("snappy,gzip,zstd");

/// The server's layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compressed;

impl<S> Layer<S> for Compressed {
    type Service = CompressedService<S>;

    fn layer(&self, service: S) -> CompressedService<S> {
        CompressedService(service)
    }
}

/// A service that accepts compressed messages.
#[derive(Clone, Debug)]
pub(super) struct CompressedService<S>(S);

impl<S> Service<Request<Body>> for CompressedService<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let name = request.headers().get(ENCODING).and_then(|name| name.to_str().ok());
        // An unknown encoding is left in place, and the service refuses it.
        let Some(encoding) = name.and_then(GrpcEncoding::of) else { return Box::pin(self.0.call(request)) };
        request.headers_mut().remove(ENCODING);
        let request = request.map(|body| recoded(body, encoding, Direction::Unpack, MESSAGE_BYTES_MAX));
        let answer = self.0.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let name = HeaderValue::from_static(encoding.name());
            response.headers_mut().insert(ENCODING, name);
            Ok(response.map(|body| recoded(body, encoding, Direction::Pack, MESSAGE_BYTES_MAX)))
        })
    }
}

/// A connection that compresses requests, if an encoding is given, and decompresses answers.
#[derive(Clone, Debug)]
pub struct Packing<S> {
    pub(crate) service: S,
    pub(crate) encoding: Option<GrpcEncoding>,
    /// Longest decompressed message of an answer in bytes.
    pub(crate) bytes_max: usize,
}

impl<S> Service<Request<Body>> for Packing<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Some(encoding) = self.encoding else { return Box::pin(self.service.call(request)) };
        let headers = request.headers_mut();
        headers.insert(ENCODING, HeaderValue::from_static(encoding.name()));
        headers.insert(ACCEPT_ENCODING, ACCEPTED);
        let bytes_max = self.bytes_max;
        let request = request.map(|body| recoded(body, encoding, Direction::Pack, bytes_max));
        let answer = self.service.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let name = response.headers().get(ENCODING).and_then(|name| name.to_str().ok());
            let Some(encoding) = name.and_then(GrpcEncoding::of) else { return Ok(response) };
            response.headers_mut().remove(ENCODING);
            Ok(response.map(|body| recoded(body, encoding, Direction::Unpack, bytes_max)))
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Pack,
    Unpack,
}

/// A body that is being compressed or decompressed.
struct Recoding {
    body: Body,
    encoding: GrpcEncoding,
    direction: Direction,
    /// Longest decompressed message in bytes.
    bytes_max: usize,
    /// Bytes received of the next messages.
    arrived: BytesMut,
}

fn recoded(body: Body, encoding: GrpcEncoding, direction: Direction, bytes_max: usize) -> Body {
    let arrived = BytesMut::new();
    Body::new(StreamBody::new(frames(Recoding { body, encoding, direction, bytes_max, arrived })))
}

fn frames(recoding: Recoding) -> impl Stream<Item = Result<Frame<Bytes>, Status>> + Send {
    stream::try_unfold(recoding, |mut recoding| async move {
        Ok(recoding.next().await?.map(|frame| (frame, recoding)))
    })
}

impl Recoding {
    /// The next message as a frame of its own, or the trailers.
    async fn next(&mut self) -> Result<Option<Frame<Bytes>>, Status> {
        loop {
            if let Some((is_packed, message)) = self.message()? {
                return self.recode(is_packed, message).await.map(Some);
            }
            match self.body.frame().await.transpose()? {
                None if self.arrived.is_empty() => return Ok(None),
                None => return Err(to_status(ErrorKind::Internal, "the body ends inside a message")),
                Some(frame) => match frame.into_data() {
                    Ok(data) => self.arrived.extend_from_slice(&data),
                    Err(trailers) => return Ok(Some(trailers)),
                },
            }
        }
    }

    /// The next message if all of it was received, and whether it is compressed.
    fn message(&mut self) -> Result<Option<(bool, Bytes)>, Status> {
        let Some([flag, length @ ..]) = self.arrived.first_chunk::<HEAD>().copied() else { return Ok(None) };
        let length = u32::from_be_bytes(length) as usize;
        if flag > 1 {
            return Err(to_status(
                ErrorKind::Internal,
                format!("found message flag {flag}, expected 0 or 1"),
            ));
        }
        // Incompressible bytes become longer by less than this in all encodings.
        let packed_max = self.bytes_max.saturating_add(self.bytes_max / 64);
        if self.direction == Direction::Unpack && flag == 1 && length > packed_max {
            let text = format!("a packed message of {length} bytes, at most {packed_max} are taken");
            return Err(to_status(ErrorKind::LimitExceeded, text));
        }
        let end = HEAD + length;
        if self.arrived.len() < end {
            return Ok(None);
        }
        Ok(Some((flag == 1, self.arrived.split_to(end).freeze().slice(HEAD..))))
    }

    /// Compresses or decompresses a message, unless it already has the wanted form.
    async fn recode(&mut self, is_packed: bool, message: Bytes) -> Result<Frame<Bytes>, Status> {
        let (encoding, direction, bytes_max) = (self.encoding, self.direction, self.bytes_max);
        if message.is_empty() || is_packed == (direction == Direction::Pack) {
            return Ok(framed(is_packed && !message.is_empty(), &message));
        }
        let is_small = message.len() < INLINE_BYTES_MAX && direction == Direction::Pack;
        let work = move || match direction {
            Direction::Pack => encoding.pack(&message),
            Direction::Unpack => encoding.unpack(&message, bytes_max),
        };
        let done = if is_small {
            work()
        } else {
            let done = tokio::task::spawn_blocking(work).await;
            done.unwrap_or_else(|error| Err(io::Error::other(error)))
        };
        let name = encoding.name();
        let failed = |error| to_status(ErrorKind::Internal, format!("message in {name}: {error}"));
        let done = done.map_err(failed)?;
        Ok(framed(direction == Direction::Pack, &done))
    }
}

fn framed(is_packed: bool, message: &[u8]) -> Frame<Bytes> {
    let mut frame = BytesMut::with_capacity(HEAD + message.len());
    frame.put_u8(u8::from(is_packed));
    frame.put_u32(message.len() as u32);
    frame.extend_from_slice(message);
    Frame::data(frame.freeze())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tower::{ServiceExt, service_fn};

    use super::*;

    fn message(is_packed: bool, bytes: &[u8]) -> Vec<u8> {
        framed(is_packed, bytes).into_data().unwrap().to_vec()
    }

    /// Sends the bytes as a body to a service that echoes it. Returns the echoed body as the client gets it, and its
    /// encoding.
    async fn echo(encoding: &str, sent: Vec<u8>) -> (Result<Bytes, Status>, Option<String>) {
        let service = Compressed.layer(service_fn(async |request: Request<Body>| {
            assert!(
                GrpcEncoding::of("br").is_none() && request.headers().get(ENCODING).is_none_or(|e| e == "br")
            );
            Ok::<_, Infallible>(Response::new(request.into_body()))
        }));
        let pieces: Vec<_> =
            sent.chunks(7).map(|piece| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let body = Body::new(StreamBody::new(stream::iter(pieces)));
        let request = Request::builder().header(ENCODING, encoding).body(body).unwrap();
        let answer = service.oneshot(request).await.unwrap();
        let name = answer.headers().get(ENCODING).map(|name| name.to_str().unwrap().to_owned());
        let body = answer.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        (body, name)
    }

    /// The messages of an answer, decompressed.
    fn unpacked(encoding: GrpcEncoding, mut body: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while let Some([flag, length @ ..]) = body.first_chunk::<HEAD>().copied() {
            let (bytes, rest) = body[HEAD..].split_at(u32::from_be_bytes(length) as usize);
            out.push(if flag == 1 {
                encoding.unpack(bytes, MESSAGE_BYTES_MAX).unwrap()
            } else {
                bytes.to_vec()
            });
            body = rest;
        }
        out
    }

    #[tokio::test]
    async fn messages_come_unpacked_and_go_packed() {
        let texts = [vec![], b"abc".to_vec(), vec![b'x'; 300_000]];
        for encoding in [GrpcEncoding::Snappy, GrpcEncoding::Gzip, GrpcEncoding::Zstd] {
            let mut sent = message(false, b"plain");
            texts.iter().for_each(|text| sent.extend(message(true, &encoding.pack(text).unwrap())));
            let (body, name) = echo(encoding.name(), sent).await;
            assert_eq!(name.as_deref(), Some(encoding.name()));
            let body = body.unwrap();
            assert!(body.len() < 50_000, "{encoding:?}: {}", body.len());
            let want: Vec<Vec<u8>> = [b"plain".to_vec()].into_iter().chain(texts.clone()).collect();
            assert_eq!(unpacked(encoding, &body), want);
        }
        let plain = message(false, b"plain");
        let (body, name) = echo("br", plain.clone()).await;
        assert_eq!((body.unwrap().to_vec(), name), (plain, None));
    }

    #[tokio::test]
    async fn what_cannot_be_unpacked_is_refused() {
        for encoding in [GrpcEncoding::Snappy, GrpcEncoding::Gzip, GrpcEncoding::Zstd] {
            let (body, _) = echo(encoding.name(), message(true, b"no packed bytes at all")).await;
            assert!(body.is_err(), "{encoding:?}");
            let whole = message(true, &encoding.pack(b"some bytes").unwrap());
            let (body, _) = echo(encoding.name(), whole[..whole.len() - 1].to_vec()).await;
            assert!(body.is_err(), "{encoding:?}");
            let long = [&[1][..], &(MESSAGE_BYTES_MAX as u32 / 64 * 65 + 1).to_be_bytes(), b"begun"].concat();
            let (body, _) = echo(encoding.name(), long).await;
            assert_eq!(body.unwrap_err().code(), to_status(ErrorKind::LimitExceeded, "").code());
            let (body, _) = echo(encoding.name(), vec![7, 0, 0, 0, 0]).await;
            assert!(body.is_err(), "{encoding:?}");
        }
    }

    /// A client and a server with compression on both sides, invisible to their code.
    #[tokio::test]
    async fn a_client_packs_what_a_server_unpacks() {
        for encoding in [GrpcEncoding::Snappy, GrpcEncoding::Gzip, GrpcEncoding::Zstd] {
            let server = Compressed.layer(service_fn(async |request: Request<Body>| {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(body, message(false, b"asked"));
                let answer = [message(false, &[7; 9000]), message(false, b"")].concat();
                let body = StreamBody::new(stream::iter([Ok::<_, Status>(Frame::data(answer.into()))]));
                Ok::<_, Infallible>(Response::new(Body::new(body)))
            }));
            let mut client = Packing { service: server, encoding: Some(encoding), bytes_max: 9000 };
            let ask = || {
                let body = StreamBody::new(stream::iter([Ok::<_, Status>(Frame::data(
                    message(false, b"asked").into(),
                ))]));
                Request::new(Body::new(body))
            };
            let answer = client.call(ask()).await.unwrap();
            assert!(answer.headers().get(ENCODING).is_none());
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body, [message(false, &[7; 9000]), message(false, b"")].concat());
            // An answer that is too long after decompression is refused.
            client.bytes_max = 8999;
            let answer = client.call(ask()).await.unwrap();
            assert!(answer.into_body().collect().await.is_err());
        }
    }
}
