//! Compresses answers with gzip for clients that accept it: small pieces on the thread that sends them, large ones on
//! the CPU pool, so that they do not hold up other connections.

use std::io::Write;

use axum::body::{Body, BodyDataStream, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{Stream, StreamExt, stream};

use crate::{Cpu, Priority};

/// Smaller bodies are not compressed, since they fit into a packet or two.
const BODY_BYTES_MIN: u64 = 1024;
/// Smaller pieces of a body are compressed on the calling thread; that takes less than half a millisecond.
const PIECE_BYTES_INLINE: usize = 16 << 10;
/// Least number of compressed bytes that are sent at a time.
const SENT_BYTES_MIN: usize = 16 << 10;

/// Middleware for `axum::middleware::from_fn_with_state` that compresses the bodies of answers.
pub async fn compress(State(cpu): State<Cpu>, request: Request, next: Next) -> Response {
    let accepted = accepts_gzip(request.headers());
    let mut response = next.run(request).await;
    let is_encoded = response.headers().contains_key(header::CONTENT_ENCODING);
    let size = response.body().size_hint();
    if is_encoded || size.upper().is_some_and(|most| most < BODY_BYTES_MIN) {
        return response;
    }
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if !accepted {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Response::from_parts(parts, Body::from_stream(compressed(body.into_data_stream(), cpu)))
}

/// Whether `Accept-Encoding` accepts gzip, by name or by `*`. RFC 9110, 12.5.3.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lists = || headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let weight = |wanted: &str| {
        lists().flat_map(|list| list.split(',')).find_map(|entry| {
            let (coding, parameters) = entry.split_once(';').unwrap_or((entry, ""));
            let q = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
            coding.trim().eq_ignore_ascii_case(wanted).then(|| q.unwrap_or(0.0))
        })
    };
    weight("gzip").or_else(|| weight("*")).is_some_and(|q| q > 0.0)
}

/// Compresses a text, of some 100 kB at most, on the calling thread.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a vector cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

struct Compressing {
    body: BodyDataStream,
    /// `None` once the gzip stream is complete.
    encoder: Option<GzEncoder<Vec<u8>>>,
    cpu: Cpu,
}

fn compressed(body: BodyDataStream, cpu: Cpu) -> impl Stream<Item = Result<Bytes, axum::Error>> {
    let encoder = Some(GzEncoder::new(Vec::new(), Compression::default()));
    stream::try_unfold(Compressing { body, encoder, cpu }, async |mut state| {
        let sent = state.next_part().await?;
        Ok((!sent.is_empty()).then_some((sent, state)))
    })
}

impl Compressing {
    /// The next bytes to send; empty at the end.
    async fn next_part(&mut self) -> Result<Bytes, axum::Error> {
        while let Some(mut encoder) = self.encoder.take() {
            let Some(piece) = self.body.next().await else {
                let finish = move || encoder.finish();
                let last = self.cpu.run(Priority::Query, finish).await.map_err(axum::Error::new)?;
                return last.map(Bytes::from).map_err(axum::Error::new);
            };
            let piece = piece?;
            let is_small = piece.len() < PIECE_BYTES_INLINE;
            let write = move || encoder.write_all(&piece).map(|()| encoder);
            let written = match is_small {
                true => write(),
                false => self.cpu.run(Priority::Query, write).await.map_err(axum::Error::new)?,
            };
            let encoder = self.encoder.insert(written.map_err(axum::Error::new)?);
            if encoder.get_ref().len() >= SENT_BYTES_MIN {
                return Ok(std::mem::take(encoder.get_mut()).into());
            }
        }
        Ok(Bytes::new())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::Router;
    use axum::routing::get;
    use flate2::read::GzDecoder;
    use tower::ServiceExt;

    use super::*;

    async fn ask(accept: &str, pieces: Vec<Vec<u8>>) -> Response {
        let cpu = Cpu::new(1).unwrap();
        let answer = async move || {
            let pieces: Vec<Result<Bytes, axum::Error>> =
                pieces.into_iter().map(|piece| Ok(Bytes::from(piece))).collect();
            Body::from_stream(stream::iter(pieces))
        };
        let router =
            Router::new().route("/", get(answer)).layer(axum::middleware::from_fn_with_state(cpu, compress));
        let request = Request::builder().uri("/").header(header::ACCEPT_ENCODING, accept);
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn bytes(response: Response) -> Bytes {
        axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap()
    }

    #[tokio::test]
    async fn small_and_big_pieces_make_one_stream() {
        let pieces: Vec<Vec<u8>> = [1, 100_000, 0, 20_000, 17, 300_000]
            .iter()
            .enumerate()
            .map(|(i, len)| {
                (0..*len).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 20) as u8 ^ i as u8).collect()
            })
            .collect();
        let plain = bytes(ask("identity", pieces.clone()).await).await;
        assert_eq!(plain, pieces.concat());
        let response = ask("br, gzip;q=0.5", pieces).await;
        assert_eq!(response.headers()[header::CONTENT_ENCODING], "gzip");
        let mut unpacked = Vec::new();
        GzDecoder::new(&bytes(response).await[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
    }

    #[test]
    fn only_who_accepts_gets_gzip() {
        let accepts = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(text));
            accepts_gzip(&headers)
        };
        assert!(
            accepts("gzip") && accepts("deflate, GZIP;q=1.0") && accepts("*") && accepts("br,gzip; q=0.1")
        );
        assert!(!accepts("") && !accepts("br") && !accepts("gzip;q=0") && !accepts("*;q=1, gzip;q=0.0"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
