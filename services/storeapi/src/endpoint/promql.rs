//! Calls of `thanos.Query` to an endpoint. Thanos `pkg/query/remote_engine.go`.

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tithon_chunks::{Samples, Timestamp};
use tithon_index::Matcher;
use tithon_proto::prometheus_copy::TimeSeries;
use tithon_proto::thanos::query_client::QueryClient;
use tithon_proto::thanos::{
    EngineType, QueryRangeRequest, QueryRangeResponse, QueryRequest, QueryResponse, QueryStats,
    StoreMatchers, query_range_response, query_response,
};
use tithon_proto::{matcher_to_wire, points_from_wire, shard_to_wire};
use tithon_runtime::resend;
use tonic::{Status, Streaming};

use super::{Endpoint, EndpointError};
use crate::{PromqlPoints, PromqlRequest, PromqlSeries, PromqlTimes};

/// A piece of the answer of a querier.
pub enum PromqlPiece {
    /// Warnings of stores, and notes of PromQL.
    Warning(String),
    /// Series as the querier sent them: nothing is checked.
    Series(Vec<PromqlSeries>),
    /// The samples that the querier has read, and the most it has held.
    Samples(u64, u64),
}

/// The pieces of an answer as they arrive.
pub type PromqlPieces = BoxStream<'static, Result<PromqlPiece, EndpointError>>;

/// Series in a frame of the answer, as Thanos asks for them.
const BATCH_SERIES: i64 = 64;
/// Thanos's word for the call in error texts.
const CALL: &str = "query";

impl Endpoint {
    /// Evaluates a query there. Dropping the stream ends the call.
    ///
    /// A piece fails when the call fails, when nothing arrives within the response timeout, and when a message is longer than the
    /// endpoint's limit.
    pub fn promql(&self, request: PromqlRequest) -> PromqlPieces {
        let endpoint = self.clone();
        let pieces = async move {
            Ok::<PromqlPieces, EndpointError>(match request.times {
                PromqlTimes::Instant(at) => endpoint.instant(at, request).await?,
                PromqlTimes::Range { start, end, step } => {
                    endpoint.range((start, end, step), request).await?
                }
            })
        };
        stream::once(pieces).try_flatten().boxed()
    }

    async fn instant(self, at: Option<i64>, request: PromqlRequest) -> Result<PromqlPieces, EndpointError> {
        let message = QueryRequest {
            time_seconds: at.unwrap_or(0),
            timeout_seconds: seconds(request.timeout.map(|timeout| timeout.as_millis())),
            max_resolution_seconds: seconds(request.max_resolution_ms),
            store_matchers: store_matchers(&request.store_matchers),
            enable_dedup: request.dedup,
            enable_partial_response: request.partial_response,
            shard_info: request.shard.as_ref().map(shard_to_wire),
            lookback_delta_seconds: seconds(request.lookback_ms),
            engine: engine(&request),
            response_batch_size: BATCH_SERIES,
            replica_labels: request.replica_labels,
            query: request.query,
            ..QueryRequest::default()
        };
        let client = self.promql_client()?;
        let call = resend(|| {
            let (mut client, message) = (client.clone(), message.clone());
            async move { client.query(message).await }
        });
        let answer = self.in_time(call).await.map_err(|silence| self.silent(silence))?;
        let frames = answer.map_err(|status| self.failed(CALL, &status))?.into_inner();
        Ok(self.pieces(frames, |frame: QueryResponse| match frame.result? {
            query_response::Result::Warnings(text) => Some(PromqlPiece::Warning(text)),
            query_response::Result::Timeseries(one) => Some(PromqlPiece::Series(vec![series(&one)])),
            query_response::Result::TimeseriesBatch(all) => {
                Some(PromqlPiece::Series(all.series.iter().map(series).collect()))
            }
            query_response::Result::Stats(stats) => Some(samples(&stats)),
        }))
    }

    async fn range(
        self,
        (start, end, step): (i64, i64, i64),
        request: PromqlRequest,
    ) -> Result<PromqlPieces, EndpointError> {
        let message = QueryRangeRequest {
            start_time_seconds: start,
            end_time_seconds: end,
            interval_seconds: step,
            timeout_seconds: seconds(request.timeout.map(|timeout| timeout.as_millis())),
            max_resolution_seconds: seconds(request.max_resolution_ms),
            store_matchers: store_matchers(&request.store_matchers),
            enable_dedup: request.dedup,
            enable_partial_response: request.partial_response,
            shard_info: request.shard.as_ref().map(shard_to_wire),
            lookback_delta_seconds: seconds(request.lookback_ms),
            engine: engine(&request),
            response_batch_size: BATCH_SERIES,
            replica_labels: request.replica_labels,
            query: request.query,
            ..QueryRangeRequest::default()
        };
        let client = self.promql_client()?;
        let call = resend(|| {
            let (mut client, message) = (client.clone(), message.clone());
            async move { client.query_range(message).await }
        });
        let answer = self.in_time(call).await.map_err(|silence| self.silent(silence))?;
        let frames = answer.map_err(|status| self.failed(CALL, &status))?.into_inner();
        Ok(self.pieces(frames, |frame: QueryRangeResponse| match frame.result? {
            query_range_response::Result::Warnings(text) => Some(PromqlPiece::Warning(text)),
            query_range_response::Result::Timeseries(one) => Some(PromqlPiece::Series(vec![series(&one)])),
            query_range_response::Result::TimeseriesBatch(all) => {
                Some(PromqlPiece::Series(all.series.iter().map(series).collect()))
            }
            query_range_response::Result::Stats(stats) => Some(samples(&stats)),
        }))
    }

    fn promql_client(&self) -> Result<QueryClient<tithon_runtime::GrpcChannel>, EndpointError> {
        Ok(QueryClient::new(self.channel()?).max_decoding_message_size(self.message_bytes_max()))
    }

    /// The pieces in the frames of an answer; frames without content are left out.
    fn pieces<F: Send + 'static>(
        self,
        frames: Streaming<F>,
        read: fn(F) -> Option<PromqlPiece>,
    ) -> PromqlPieces {
        let next = move |(endpoint, mut frames): (Endpoint, Streaming<F>)| async move {
            loop {
                let frame = endpoint.in_time(frames.message()).await;
                let frame = frame.map_err(|silence| endpoint.silent(silence))?;
                let frame = frame.map_err(|status: Status| endpoint.failed(CALL, &status))?;
                let Some(frame) = frame else { return Ok(None) };
                if let Some(piece) = read(frame) {
                    return Ok(Some((piece, (endpoint, frames))));
                }
            }
        };
        stream::try_unfold((self, frames), next).boxed()
    }
}

/// The engine to ask for; zero is the querier's default.
fn engine(request: &PromqlRequest) -> i32 {
    if request.local { EngineType::Prometheus.into() } else { EngineType::Default.into() }
}

/// Milliseconds as whole seconds, 0 if there are none.
fn seconds(ms: Option<impl TryInto<i64>>) -> i64 {
    ms.map_or(0, |ms| ms.try_into().unwrap_or(i64::MAX) / 1000)
}

fn store_matchers(sets: &[Vec<Matcher>]) -> Vec<StoreMatchers> {
    let set =
        |set: &Vec<Matcher>| StoreMatchers { label_matchers: set.iter().map(matcher_to_wire).collect() };
    sets.iter().map(set).collect()
}

fn series(wire: &TimeSeries) -> PromqlSeries {
    let points = points_from_wire(wire);
    let mut samples = Samples::default();
    points.floats.into_iter().for_each(|(t, v)| samples.floats.push(Timestamp(t), v));
    (samples.histograms.timestamps, samples.histograms.values) = points.histograms.into_iter().unzip();
    PromqlSeries { labels: points.labels, points: PromqlPoints::Many(samples) }
}

fn samples(stats: &QueryStats) -> PromqlPiece {
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    PromqlPiece::Samples(count(stats.samples_total), count(stats.peak_samples))
}
