//! Compressed gRPC messages: a layer that unpacks those of a request and packs those of its answer in the same encoding, as servers of
//! grpc-go do.
//!
//! A message is `flag (1) | length (4, big-endian) | bytes`; flag 1 says that the bytes are packed. Snappy is the framing format,
//! as Thanos has it (`pkg/extgrpc/snappy`), not the block format of remote write.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use futures::{Stream, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tithon_chunks::ErrorKind;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{HeaderValue, Request, Response};
use tower::Layer;

use crate::to_status;

/// The most that a packed message of a request may become; the longest are matchers of some megabytes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// The most that a packed message of a request may have: what cannot be packed becomes longer, by less than this in any encoding.
const PACKED_BYTES_MAX: usize = MESSAGE_BYTES_MAX + MESSAGE_BYTES_MAX / 64;
/// Messages from this size on are packed off the threads that serve sockets.
const INLINE_BYTES_MAX: usize = 128 << 10;
/// Flag and length.
const HEAD: usize = 5;
const ENCODING: &str = "grpc-encoding";

/// The layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compressed;

impl<S> Layer<S> for Compressed {
    type Service = CompressedService<S>;

    fn layer(&self, service: S) -> CompressedService<S> {
        CompressedService(service)
    }
}

/// A service that may be spoken to in packed messages.
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
        // An encoding that is not known is left in place: the service refuses it.
        let Some(encoding) = name.and_then(Encoding::of) else { return Box::pin(self.0.call(request)) };
        request.headers_mut().remove(ENCODING);
        let request = request.map(|body| recoded(body, encoding, Direction::Unpack));
        let answer = self.0.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            let name = HeaderValue::from_static(encoding.name());
            response.headers_mut().insert(ENCODING, name);
            Ok(response.map(|body| recoded(body, encoding, Direction::Pack)))
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Snappy,
    Gzip,
    Zstd,
}

impl Encoding {
    fn of(name: &str) -> Option<Encoding> {
        [Encoding::Snappy, Encoding::Gzip, Encoding::Zstd].into_iter().find(|known| known.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Encoding::Snappy => "snappy",
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
        }
    }

    fn pack(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Encoding::Snappy => {
                let mut encoder = snap::write::FrameEncoder::new(Vec::new());
                encoder.write_all(bytes)?;
                encoder.into_inner().map_err(|error| io::Error::other(error.to_string()))
            }
            Encoding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Encoding::Zstd => zstd::encode_all(bytes, 1),
        }
    }

    /// Fails when more than [`MESSAGE_BYTES_MAX`] come out.
    fn unpack(self, packed: &[u8]) -> io::Result<Vec<u8>> {
        let decoder: Box<dyn Read + '_> = match self {
            Encoding::Snappy => Box::new(snap::read::FrameDecoder::new(packed)),
            Encoding::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Encoding::Zstd => Box::new(zstd::Decoder::new(packed)?),
        };
        let mut bytes = Vec::new();
        decoder.take(MESSAGE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(io::Error::other(format!("more than {MESSAGE_BYTES_MAX} bytes unpacked")));
        }
        Ok(bytes)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Pack,
    Unpack,
}

/// A body on its way through the layer.
struct Recoding {
    body: Body,
    encoding: Encoding,
    direction: Direction,
    /// What has arrived of the next messages.
    arrived: BytesMut,
}

fn recoded(body: Body, encoding: Encoding, direction: Direction) -> Body {
    Body::new(StreamBody::new(frames(Recoding { body, encoding, direction, arrived: BytesMut::new() })))
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
                return recode(self.encoding, self.direction, is_packed, message).await.map(Some);
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

    /// The next message, if all of it has arrived, and whether it is packed.
    fn message(&mut self) -> Result<Option<(bool, Bytes)>, Status> {
        let Some([flag, length @ ..]) = self.arrived.first_chunk::<HEAD>().copied() else { return Ok(None) };
        let length = u32::from_be_bytes(length) as usize;
        if flag > 1 {
            return Err(to_status(
                ErrorKind::Internal,
                format!("found message flag {flag}, expected 0 or 1"),
            ));
        }
        if self.direction == Direction::Unpack && flag == 1 && length > PACKED_BYTES_MAX {
            let text = format!("a packed message of {length} bytes, at most {PACKED_BYTES_MAX} are taken");
            return Err(to_status(ErrorKind::LimitExceeded, text));
        }
        let end = HEAD + length;
        if self.arrived.len() < end {
            return Ok(None);
        }
        Ok(Some((flag == 1, self.arrived.split_to(end).freeze().slice(HEAD..))))
    }
}

/// A message in the other form, if it is not in that already.
async fn recode(
    encoding: Encoding,
    direction: Direction,
    is_packed: bool,
    message: Bytes,
) -> Result<Frame<Bytes>, Status> {
    if message.is_empty() || is_packed == (direction == Direction::Pack) {
        return Ok(framed(is_packed && !message.is_empty(), &message));
    }
    let is_small = direction == Direction::Pack && message.len() < INLINE_BYTES_MAX;
    let work = move || match direction {
        Direction::Pack => encoding.pack(&message),
        Direction::Unpack => encoding.unpack(&message),
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

    /// Sends the bytes as a body to a service that answers with the body it gets, and gives back that body as the service saw
    /// it, and the answer with its encoding.
    async fn echo(encoding: &str, sent: Vec<u8>) -> (Result<Bytes, Status>, Option<String>) {
        let service = Compressed.layer(service_fn(async |request: Request<Body>| {
            assert!(
                Encoding::of("br").is_none() && request.headers().get(ENCODING).is_none_or(|e| e == "br")
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

    /// The messages of an answer, unpacked.
    fn unpacked(encoding: Encoding, mut body: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        while let Some([flag, length @ ..]) = body.first_chunk::<HEAD>().copied() {
            let (bytes, rest) = body[HEAD..].split_at(u32::from_be_bytes(length) as usize);
            out.push(if flag == 1 { encoding.unpack(bytes).unwrap() } else { bytes.to_vec() });
            body = rest;
        }
        out
    }

    #[tokio::test]
    async fn messages_come_unpacked_and_go_packed() {
        let texts = [vec![], b"abc".to_vec(), vec![b'x'; 300_000]];
        for encoding in [Encoding::Snappy, Encoding::Gzip, Encoding::Zstd] {
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
        for encoding in [Encoding::Snappy, Encoding::Gzip, Encoding::Zstd] {
            let (body, _) = echo(encoding.name(), message(true, b"no packed bytes at all")).await;
            assert!(body.is_err(), "{encoding:?}");
            let whole = message(true, &encoding.pack(b"some bytes").unwrap());
            let (body, _) = echo(encoding.name(), whole[..whole.len() - 1].to_vec()).await;
            assert!(body.is_err(), "{encoding:?}");
            let long = [&[1][..], &(PACKED_BYTES_MAX as u32 + 1).to_be_bytes(), b"begun"].concat();
            let (body, _) = echo(encoding.name(), long).await;
            assert_eq!(body.unwrap_err().code(), to_status(ErrorKind::LimitExceeded, "").code());
            let (body, _) = echo(encoding.name(), vec![7, 0, 0, 0, 0]).await;
            assert!(body.is_err(), "{encoding:?}");
            let bomb = encoding.pack(&vec![0; MESSAGE_BYTES_MAX + 1]).unwrap();
            assert!(encoding.unpack(&bomb).is_err());
        }
    }

    #[test]
    fn snappy_is_the_framing_format() {
        assert!(Encoding::Snappy.pack(b"abc").unwrap().starts_with(b"\xff\x06\x00\x00sNaPpY"));
    }
}
