//! The gRPC service `thanos.Query`: PromQL for queriers above, which in distributed mode send parts of their queries to
//! queriers below. Thanos `pkg/api/query/grpc.go`.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};
use tithon_chunks::{ErrorKind, FloatHistogram, Samples};
use tithon_engine::SeriesShard;
use tithon_index::{Labels, Matcher};
use tithon_proto::prometheus_copy::TimeSeries;
use tithon_proto::thanos::query_server::{Query, QueryServer};
use tithon_proto::thanos::{
    EngineType, QueryRangeRequest, QueryRangeResponse, QueryRequest, QueryResponse, QueryStats,
    StoreMatchers, TimeSeriesBatch, query_range_response, query_response,
};
use tithon_proto::{ConvertError, matchers_from_wire, points_to_wire, shard_from_wire};
use tithon_runtime::{GrpcServices, to_status};
use tonic::{Request, Response, Status};

use crate::StoreApiError;
use crate::status::{convert_status, status};

/// A query for a querier below. Times are seconds since 1970.
#[derive(Clone, Debug)]
pub struct PromqlRequest {
    /// The PromQL expression.
    pub query: String,
    /// The times of evaluation.
    pub times: PromqlTimes,
    /// Timeout of the request; the querier's own may be shorter.
    pub timeout: Option<Duration>,
    /// The coarsest resolution that may be read, in milliseconds; `None` for the querier's default.
    pub max_resolution_ms: Option<i64>,
    /// Labels that tell replicas apart; none for the querier's own.
    pub replica_labels: Vec<String>,
    /// Matcher sets on the addresses of stores.
    pub store_matchers: Vec<Vec<Matcher>>,
    /// Whether replicas are deduplicated.
    pub dedup: bool,
    /// Whether a failing store costs only a warning.
    pub partial_response: bool,
    /// The share of all series to read.
    pub shard: Option<SeriesShard>,
    /// Lookback of instant selectors in milliseconds; `None` for the querier's default.
    pub lookback_ms: Option<i64>,
    /// Whether the engine is asked for that evaluates queries without other queriers.
    pub local: bool,
}

/// The times of an evaluation in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromqlTimes {
    /// One evaluation; `None` means now.
    Instant(Option<i64>),
    /// An evaluation at every step of a range, both ends inclusive.
    Range {
        /// Time of the first step.
        start: i64,
        /// Upper bound of the steps.
        end: i64,
        /// Seconds between two steps.
        step: i64,
    },
}

/// The result of a query.
pub struct PromqlAnswer {
    /// Warnings of stores, and notes of PromQL.
    pub warnings: Vec<String>,
    /// The series of the value; a scalar is a series without labels.
    pub series: Vec<PromqlSeries>,
    /// Number of samples that the evaluation read, and the peak number it held.
    pub samples: (u64, u64),
    /// The charge for the value's memory, kept until all is sent.
    pub held: Box<dyn Send>,
}

/// A series of the value.
pub struct PromqlSeries {
    /// Labels of the series.
    pub labels: Labels,
    /// Samples of the series.
    pub points: PromqlPoints,
}

/// The samples of a series.
pub enum PromqlPoints {
    /// One float at a time in milliseconds.
    Float(i64, f64),
    /// One histogram at a time in milliseconds.
    Histogram(i64, Arc<FloatHistogram>),
    /// Any number of floats and histograms.
    Many(Samples),
}

/// The future of an answer.
pub type PromqlFuture = BoxFuture<'static, Result<PromqlAnswer, StoreApiError>>;

/// Serves `thanos.Query` with a function that answers queries. Clones share it.
#[derive(Clone)]
pub struct PromqlServer(Arc<dyn Fn(PromqlRequest) -> PromqlFuture + Send + Sync>);

impl PromqlServer {
    /// A server that answers with `answer`.
    pub fn new(answer: impl Fn(PromqlRequest) -> PromqlFuture + Send + Sync + 'static) -> PromqlServer {
        PromqlServer(Arc::new(answer))
    }

    /// Adds this service to `services`.
    pub fn and(self, services: GrpcServices) -> GrpcServices {
        services.with(QueryServer::new(self))
    }
}

/// The content of a frame.
enum Piece {
    Warnings(String),
    Series(Vec<TimeSeries>),
    Stats(QueryStats),
}

type Pieces<F> = BoxStream<'static, Result<F, Status>>;

/// The frames of an answer: warnings, series one by one or in batches, statistics.
fn frames<F: Send + 'static>(
    answer: PromqlAnswer,
    batch: i64,
    frame: impl Fn(Piece) -> F + Send + 'static,
) -> Response<Pieces<F>> {
    /// Largest number of series in a frame.
    const BATCH_MAX: usize = 4096;
    let PromqlAnswer { warnings, series, samples, held } = answer;
    let batch = usize::try_from(batch).unwrap_or(0).clamp(1, BATCH_MAX);
    let warnings = (!warnings.is_empty()).then(|| Piece::Warnings(warnings.join(", ")));
    let series = stream::iter(series).map(|one| one.to_wire()).chunks(batch).map(Piece::Series);
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let stats = QueryStats { samples_total: count(samples.0), peak_samples: count(samples.1) };
    let all = stream::iter(warnings).chain(series).chain(stream::iter([Piece::Stats(stats)]));
    let frames = all.map(move |piece| {
        let _held = &held;
        Ok(frame(piece))
    });
    Response::new(frames.boxed())
}

impl PromqlSeries {
    fn to_wire(&self) -> TimeSeries {
        match &self.points {
            PromqlPoints::Float(t, value) => points_to_wire(&self.labels, [(*t, *value)], []),
            PromqlPoints::Histogram(t, histogram) => {
                points_to_wire(&self.labels, [], [(*t, histogram.as_ref())])
            }
            PromqlPoints::Many(samples) => {
                let (floats, histograms) = (&samples.floats, &samples.histograms);
                let times = floats.timestamps.iter().copied();
                let at = histograms.timestamps.iter().copied();
                points_to_wire(
                    &self.labels,
                    times.zip(floats.values.iter().copied()),
                    at.zip(&histograms.values),
                )
            }
        }
    }
}

/// A single series if the request wants no batches, else a batch.
enum OneOrMany {
    One(TimeSeries),
    Many(TimeSeriesBatch),
}

fn one_or_many(mut series: Vec<TimeSeries>, batch: i64) -> OneOrMany {
    match (series.pop(), batch) {
        (Some(one), ..=1) => OneOrMany::One(one),
        (last, _) => {
            series.extend(last);
            OneOrMany::Many(TimeSeriesBatch { series })
        }
    }
}

#[tonic::async_trait]
impl Query for PromqlServer {
    type QueryStream = Pieces<QueryResponse>;
    type QueryRangeStream = Pieces<QueryRangeResponse>;

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        use query_response::Result::{Stats, Timeseries, TimeseriesBatch, Warnings};
        let wire = request.into_inner();
        check_engine(wire.engine)?;
        let (batch, partial) = (wire.response_batch_size, wire.enable_partial_response);
        let request = PromqlRequest {
            times: PromqlTimes::Instant((wire.time_seconds != 0).then_some(wire.time_seconds)),
            timeout: timeout(wire.timeout_seconds),
            max_resolution_ms: positive_ms(wire.max_resolution_seconds),
            replica_labels: wire.replica_labels,
            store_matchers: store_matchers(&wire.store_matchers).map_err(|e| convert_status(&e))?,
            dedup: wire.enable_dedup,
            partial_response: partial,
            shard: wire.shard_info.and_then(shard_from_wire),
            lookback_ms: positive_ms(wire.lookback_delta_seconds),
            local: wire.engine == i32::from(EngineType::Prometheus),
            query: wire.query,
        };
        let frame = |result| QueryResponse { result: Some(result) };
        match (self.0)(request).await {
            Ok(answer) => Ok(frames(answer, batch, move |piece| {
                frame(match piece {
                    Piece::Warnings(text) => Warnings(text),
                    Piece::Stats(stats) => Stats(stats),
                    Piece::Series(series) => match one_or_many(series, batch) {
                        OneOrMany::One(one) => Timeseries(one),
                        OneOrMany::Many(many) => TimeseriesBatch(many),
                    },
                })
            })),
            // As in Thanos, an instant query that fails during evaluation then costs only a warning.
            Err(error) if partial && error.kind() == ErrorKind::Aborted => {
                Ok(Response::new(stream::iter([Ok(frame(Warnings(error.to_string())))]).boxed()))
            }
            Err(error) => Err(status(&error)),
        }
    }

    async fn query_range(
        &self,
        request: Request<QueryRangeRequest>,
    ) -> Result<Response<Self::QueryRangeStream>, Status> {
        use query_range_response::Result::{Stats, Timeseries, TimeseriesBatch, Warnings};
        let wire = request.into_inner();
        check_engine(wire.engine)?;
        let batch = wire.response_batch_size;
        let (start, end, step) = (wire.start_time_seconds, wire.end_time_seconds, wire.interval_seconds);
        let request = PromqlRequest {
            times: PromqlTimes::Range { start, end, step },
            timeout: timeout(wire.timeout_seconds),
            max_resolution_ms: positive_ms(wire.max_resolution_seconds),
            replica_labels: wire.replica_labels,
            store_matchers: store_matchers(&wire.store_matchers).map_err(|e| convert_status(&e))?,
            dedup: wire.enable_dedup,
            partial_response: wire.enable_partial_response,
            shard: wire.shard_info.and_then(shard_from_wire),
            lookback_ms: positive_ms(wire.lookback_delta_seconds),
            local: wire.engine == i32::from(EngineType::Prometheus),
            query: wire.query,
        };
        let answer = (self.0)(request).await.map_err(|error| status(&error))?;
        let frame = |result| QueryRangeResponse { result: Some(result) };
        Ok(frames(answer, batch, move |piece| {
            frame(match piece {
                Piece::Warnings(text) => Warnings(text),
                Piece::Stats(stats) => Stats(stats),
                Piece::Series(series) => match one_or_many(series, batch) {
                    OneOrMany::One(one) => Timeseries(one),
                    OneOrMany::Many(many) => TimeseriesBatch(many),
                },
            })
        }))
    }
}

/// Accepts both of Thanos's engines, though there is one engine here.
fn check_engine(engine: i32) -> Result<(), Status> {
    match EngineType::try_from(engine) {
        Ok(_) => Ok(()),
        Err(_) => Err(to_status(ErrorKind::Invalid, "invalid engine parameter")),
    }
}

fn timeout(seconds: i64) -> Option<Duration> {
    u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

fn positive_ms(seconds: i64) -> Option<i64> {
    (seconds > 0).then(|| seconds.saturating_mul(1000))
}

fn store_matchers(wire: &[StoreMatchers]) -> Result<Vec<Vec<Matcher>>, ConvertError> {
    wire.iter().map(|set| matchers_from_wire(&set.label_matchers)).collect()
}
