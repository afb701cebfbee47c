//! A StoreAPI client that counts what it receives: bytes go from the connection to [`Content`] without being decoded
//! into messages, and as far as memory allows after the clock has stopped: counting takes much of two cores.

use std::time::Instant;

use http::uri::PathAndQuery;
use prost::Message;
use tithon_proto::thanos::{
    LabelMatcher, LabelValuesRequest, LabelValuesResponse, PartialResponseStrategy, SeriesRequest,
    label_matcher,
};
use tithon_proto::{RawCodec, with_causes};
use tonic::Status;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};

use crate::answer::Answer;
use crate::run::{Call, Failure};
use crate::wire::Content;

/// Receive windows in bytes; large, so that the client never slows the server down.
const WINDOW_BYTES: u32 = 8 << 20;
/// Longest frame in bytes, as in Thanos.
const FRAME_BYTES_MAX: usize = 1 << 31;

/// The most bytes of an answer that are kept to be counted after its end.
const KEPT_BYTES_MAX: u64 = 1 << 30;

/// A request to a store.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// Series that match, in a range of milliseconds, with or without chunks.
    Series { matchers: Vec<LabelMatcher>, min_time: i64, max_time: i64, skip_chunks: bool },
    /// Values of a label of matching series.
    Values { label: String, matchers: Vec<LabelMatcher>, min_time: i64, max_time: i64 },
}

/// A matcher `name=value`.
pub(crate) fn equal(name: &str, value: &str) -> LabelMatcher {
    matcher(label_matcher::Type::Eq, name, value)
}

/// A matcher `name!=value`.
pub(crate) fn not_equal(name: &str, value: &str) -> LabelMatcher {
    matcher(label_matcher::Type::Neq, name, value)
}

/// A matcher `name=~pattern`.
pub(crate) fn matches(name: &str, pattern: &str) -> LabelMatcher {
    matcher(label_matcher::Type::Re, name, pattern)
}

fn matcher(kind: label_matcher::Type, name: &str, value: &str) -> LabelMatcher {
    LabelMatcher { r#type: kind.into(), name: name.to_owned().into(), value: value.to_owned().into() }
}

/// A connection to a store.
#[derive(Clone, Debug)]
pub(crate) struct StoreConnection(Channel);

impl StoreConnection {
    /// Connects to a loopback port.
    pub(crate) async fn open(port: u16) -> Result<StoreConnection, Failure> {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}"))
            .map_err(|error| Failure::Call(error.to_string()))?
            .initial_stream_window_size(WINDOW_BYTES)
            .initial_connection_window_size(2 * WINDOW_BYTES);
        let channel = endpoint.connect().await.map_err(|error| Failure::Call(with_causes(&error)))?;
        Ok(StoreConnection(channel))
    }

    /// Sends a request and receives the whole answer.
    pub(crate) async fn ask(&self, question: &Question) -> Result<(Call, Answer), Failure> {
        match question {
            Question::Series { matchers, min_time, max_time, skip_chunks } => {
                let request = SeriesRequest {
                    min_time: *min_time,
                    max_time: *max_time,
                    matchers: matchers.clone(),
                    skip_chunks: *skip_chunks,
                    // As queriers ask, so that stores may put many series into a frame.
                    response_batch_size: 64,
                    partial_response_strategy: PartialResponseStrategy::Abort.into(),
                    ..SeriesRequest::default()
                };
                self.series(request).await
            }
            Question::Values { label, matchers, min_time, max_time } => {
                let request = LabelValuesRequest {
                    label: label.clone().into(),
                    start: *min_time,
                    end: *max_time,
                    matchers: matchers.clone(),
                    partial_response_strategy: PartialResponseStrategy::Abort.into(),
                    ..LabelValuesRequest::default()
                };
                self.values(request).await
            }
        }
    }

    async fn series(&self, request: SeriesRequest) -> Result<(Call, Answer), Failure> {
        let began = Instant::now();
        let mut grpc = Grpc::new(self.0.clone()).max_decoding_message_size(FRAME_BYTES_MAX);
        grpc.ready().await.map_err(|error| Failure::Call(with_causes(&error)))?;
        let path = PathAndQuery::from_static("/thanos.Store/Series");
        let request = tonic::Request::new(request.encode_to_vec().into());
        let answer = grpc.server_streaming(request, path, RawCodec).await.map_err(refused)?;
        let mut stream = answer.into_inner();
        let (mut content, mut bytes, mut first) = (Content::default(), 0, None);
        let mut kept = Vec::new();
        let mut count = |frame: &[u8]| content.count(frame).map_err(|error| Failure::Call(error.to_string()));
        while let Some(frame) = stream.message().await.map_err(refused)? {
            first.get_or_insert_with(|| began.elapsed().as_secs_f64());
            bytes += frame.len() as u64;
            if bytes <= KEPT_BYTES_MAX {
                kept.push(frame);
            } else {
                for earlier in kept.drain(..) {
                    count(&earlier)?;
                }
                count(&frame)?;
            }
        }
        let wall = began.elapsed().as_secs_f64();
        for frame in kept {
            count(&frame)?;
        }
        if let Some(warning) = content.warnings.first() {
            return Err(Failure::Call(format!("a warning: {warning}")));
        }
        Ok((Call { wall, first_byte: first.unwrap_or(wall), bytes }, Answer::Frames(content)))
    }

    async fn values(&self, request: LabelValuesRequest) -> Result<(Call, Answer), Failure> {
        let began = Instant::now();
        let mut grpc = Grpc::new(self.0.clone()).max_decoding_message_size(FRAME_BYTES_MAX);
        grpc.ready().await.map_err(|error| Failure::Call(with_causes(&error)))?;
        let path = PathAndQuery::from_static("/thanos.Store/LabelValues");
        let request = tonic::Request::new(request.encode_to_vec().into());
        let message = grpc.unary(request, path, RawCodec).await.map_err(refused)?.into_inner();
        // Measured before decoding, since decoding takes this client longer than sending takes a store.
        let wall = began.elapsed().as_secs_f64();
        let bytes = message.len() as u64;
        let answer =
            LabelValuesResponse::decode(message).map_err(|error| Failure::Call(error.to_string()))?;
        if let Some(warning) = answer.warnings.first() {
            return Err(Failure::Call(format!("a warning: {warning}")));
        }
        let call = Call { wall, first_byte: wall, bytes };
        Ok((call, Answer::Values(answer.values.into_iter().map(|value| value.to_vec()).collect())))
    }
}

fn refused(status: Status) -> Failure {
    Failure::Call(format!("{}: {}", status.code(), status.message()))
}
