//! Reads series of a Prometheus by remote read. Prometheus `storage/remote/{chunked,read_handler}.go`.

use bytes::{Buf, Bytes, BytesMut};
use reqwest::Method;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use tithon_chunks::{EncodedChunk, Encoding, Reader, TimeRange, Timestamp, XorEncoder, crc32c};
use tithon_engine::SelectedSeries;
use tithon_index::Matcher;
use tithon_proto::{SampledSeries, StreamReader, read_request, sampled_series};
use tracing::warn;

use crate::pieces::Pieces;
use crate::prometheus::Prometheus;
use crate::{PrometheusError, SidecarMetrics};

/// Longest frame in bytes, as in Prometheus's own reader.
const FRAME_BYTES_MAX: u64 = 50_000_000;
/// Longest length and checksum of a frame, together, in bytes.
const FRAME_HEAD_BYTES_MAX: usize = 14;
/// Samples per chunk when chunks are made of an answer with samples.
const CHUNK_SAMPLES: usize = 120;
/// Highest compression ratio of Snappy.
const SNAPPY_RATIO_MAX: usize = 22;

/// The series of an answer to remote read, with Prometheus's labels.
pub(crate) enum RemoteRead {
    /// A stream that is being received.
    Stream(Box<Stream>),
    /// All series.
    Whole(Vec<SelectedSeries>),
}

/// A stream that is being received.
pub(crate) struct Stream {
    frames: Frames,
    reader: StreamReader,
    /// Number of frames so far.
    count: u32,
    metrics: SidecarMetrics,
}

impl RemoteRead {
    /// Asks for all series in a range that satisfy `matchers`.
    pub(crate) async fn begin(
        prometheus: &Prometheus,
        matchers: &[Matcher],
        range: TimeRange,
        metrics: &SidecarMetrics,
    ) -> Result<RemoteRead, PrometheusError> {
        let answer = ask(prometheus, matchers, range).await?;
        let kind = &answer.kind;
        if kind.starts_with("application/x-protobuf") {
            let mut series = samples(answer).await?;
            series.sort_by(|a, b| a.labels.cmp(&b.labels));
            return Ok(RemoteRead::Whole(series));
        }
        if !kind.starts_with("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse") {
            let reason = format!("not supported remote read content type: {kind}");
            return Err(PrometheusError::Answer { url: answer.url, reason });
        }
        let (frames, reader, metrics) = (Frames::new(answer), StreamReader::default(), metrics.clone());
        Ok(RemoteRead::Stream(Box::new(Stream { frames, reader, count: 0, metrics })))
    }

    /// Appends the next series to `out`; a series may be spread over several calls, its parts follow each other. `false` at the end.
    pub(crate) async fn next(&mut self, out: &mut Vec<SelectedSeries>) -> Result<bool, PrometheusError> {
        match self {
            RemoteRead::Stream(stream) => stream.next(out).await,
            RemoteRead::Whole(series) => {
                let has_more = !series.is_empty();
                out.append(series);
                Ok(has_more)
            }
        }
    }
}

impl Stream {
    async fn next(&mut self, out: &mut Vec<SelectedSeries>) -> Result<bool, PrometheusError> {
        let Some(frame) = self.frames.next().await? else {
            self.metrics.frames.observe(f64::from(self.count));
            return Ok(false);
        };
        let before = out.len();
        self.reader.read(frame, out).map_err(|e| self.frames.wrong(e.to_string()))?;
        let series = out.len() - before;
        if series != 1 {
            warn!(series, "Prometheus sent a frame of remote read that has not one series");
        }
        self.count = self.count.saturating_add(1);
        Ok(true)
    }
}

async fn ask(
    prometheus: &Prometheus,
    matchers: &[Matcher],
    range: TimeRange,
) -> Result<Pieces, PrometheusError> {
    let request = read_request(matchers, range);
    let packed = snap::raw::Encoder::new().compress_vec(&request).map_err(|e| PrometheusError::Answer {
        url: prometheus.url().to_string(),
        reason: format!("the request for remote read cannot be packed: {e}"),
    })?;
    let thread = prometheus.thread()?;
    let request = prometheus
        .request_by(thread.client(), Method::POST, &["api", "v1", "read"], &[])?
        .header(CONTENT_ENCODING, "snappy")
        .header(CONTENT_TYPE, "application/x-stream-protobuf")
        .header("X-Prometheus-Remote-Read-Version", "0.1.0")
        .body(packed);
    thread.send(prometheus, request).await
}

/// The frames of a stream, each: length (uvarint), CRC-32C of the payload (4 bytes, big-endian), payload.
struct Frames {
    pieces: Pieces,
    /// Received bytes that were not consumed yet.
    arrived: Bytes,
}

impl Frames {
    fn new(pieces: Pieces) -> Frames {
        Frames { pieces, arrived: Bytes::new() }
    }

    /// Receives until there are `wanted` bytes; `false` when there are fewer.
    async fn receive(&mut self, wanted: usize) -> Result<bool, PrometheusError> {
        if self.arrived.is_empty() {
            let Some(piece) = self.pieces.next().await? else { return Ok(wanted == 0) };
            self.arrived = piece.freeze();
        }
        if self.arrived.len() < wanted {
            let mut joined = BytesMut::from(&*self.arrived);
            while joined.len() < wanted
                && let Some(piece) = self.pieces.next().await?
            {
                joined.extend_from_slice(&piece);
            }
            self.arrived = joined.freeze();
        }
        Ok(self.arrived.len() >= wanted)
    }

    /// The next payload; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, PrometheusError> {
        let head = loop {
            if let Some(head) = self.head()? {
                break head;
            }
            if !self.receive(self.arrived.len() + 1).await? {
                if self.arrived.is_empty() {
                    return Ok(None);
                }
                return Err(self.wrong("the stream ends within the head of a frame".to_owned()));
            }
        };
        self.arrived.advance(head.bytes);
        if !self.receive(head.payload_bytes).await? {
            let (found, expected) = (self.arrived.len(), head.payload_bytes);
            let text = format!("the stream ends within a frame: found {found} of {expected} bytes");
            return Err(self.wrong(text));
        }
        let payload = self.arrived.split_to(head.payload_bytes);
        let found = crc32c(&payload);
        if found != head.checksum {
            let text = format!("checksum of a frame: expected {:08x}, found {found:08x}", head.checksum);
            return Err(self.wrong(text));
        }
        Ok(Some(payload))
    }

    /// The header of the next frame; `None` while it is incomplete.
    fn head(&self) -> Result<Option<Head>, PrometheusError> {
        let mut reader = Reader::new(&self.arrived);
        let Ok(payload_bytes) = reader.uvarint("length of a frame") else {
            if self.arrived.len() >= FRAME_HEAD_BYTES_MAX {
                return Err(self.wrong("the length of a frame is not a number".to_owned()));
            }
            return Ok(None);
        };
        if payload_bytes > FRAME_BYTES_MAX {
            let text = format!("a frame of {payload_bytes} bytes, at most {FRAME_BYTES_MAX} are taken");
            return Err(self.wrong(text));
        }
        let Ok(checksum) = reader.u32_be("checksum of a frame") else { return Ok(None) };
        let bytes = self.arrived.len() - reader.rest().len();
        Ok(Some(Head { bytes, payload_bytes: payload_bytes as usize, checksum }))
    }

    fn wrong(&self, reason: String) -> PrometheusError {
        PrometheusError::Answer { url: self.pieces.url.clone(), reason }
    }
}

/// The header of a frame.
struct Head {
    /// Length of the header itself.
    bytes: usize,
    payload_bytes: usize,
    checksum: u32,
}

/// The series of an answer with samples, encoded into chunks. Series without samples are left out.
async fn samples(answer: Pieces) -> Result<Vec<SelectedSeries>, PrometheusError> {
    let url = answer.url.clone();
    let wrong = |reason: String| PrometheusError::Answer { url: url.clone(), reason };
    let packed = answer.body().await?;
    let claimed = snap::raw::decompress_len(&packed).map_err(|e| wrong(e.to_string()))?;
    if claimed > packed.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(wrong(format!("{} packed bytes claim to be {claimed} bytes", packed.len())));
    }
    let bytes = snap::raw::Decoder::new().decompress_vec(&packed).map_err(|e| wrong(e.to_string()))?;
    let found = sampled_series(bytes.into()).map_err(|e| wrong(e.to_string()))?;
    let mut series = Vec::with_capacity(found.len());
    for SampledSeries { labels, samples } in found {
        if samples.is_empty() {
            warn!(%labels, "Prometheus sent a series without samples");
            continue;
        }
        series.push(SelectedSeries { labels, chunks: samples.chunks(CHUNK_SAMPLES).map(encode).collect() });
    }
    Ok(series)
}

fn encode(samples: &[(i64, f64)]) -> EncodedChunk {
    let mut encoder = XorEncoder::new();
    samples.iter().for_each(|(time, value)| encoder.push(*time, *value));
    let time = |sample: Option<&(i64, f64)>| Timestamp(sample.map_or(0, |(time, _)| *time));
    EncodedChunk {
        encoding: Encoding::Xor,
        min_time: time(samples.first()),
        max_time: time(samples.last()),
        data: encoder.finish().into(),
    }
}
