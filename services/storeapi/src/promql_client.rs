//! Client of a querier's PromQL over gRPC. Thanos `pkg/query/remote_engine.go`.

use std::sync::Arc;
use std::time::Duration;

use tithon_proto::points_from_wire;
use tithon_proto::prometheus_copy::TimeSeries;
use tithon_proto::thanos::query_client::QueryClient;
use tithon_proto::thanos::{QueryRequest, query_response};
use tithon_runtime::{DialOptions, GrpcChannel};
use tonic::transport::Endpoint as Dial;

use crate::status::go_status;
use crate::{EndpointError, PromqlPoints, PromqlSeries};

/// Asks a querier over gRPC, in clear text. Clones share the connection.
#[derive(Clone)]
pub struct PromqlClient {
    address: String,
    client: QueryClient<GrpcChannel>,
}

/// Longest message that is accepted, in bytes.
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Largest number of samples in an answer.
const SAMPLES_MAX: usize = 10_000_000;

impl PromqlClient {
    /// The querier at `host:port`. Connects at the first call. Must be called inside a tokio runtime.
    ///
    /// Fails when the address is invalid.
    pub fn new(address: &str) -> Result<PromqlClient, EndpointError> {
        let wrong = |reason: String| EndpointError::Address { address: address.to_owned(), reason };
        let dial =
            Dial::from_shared(format!("http://{address}")).map_err(|error| wrong(error.to_string()))?;
        if dial.uri().port().is_none() {
            return Err(wrong("expected HOST:PORT".to_owned()));
        }
        let dial = dial.connect_timeout(Duration::from_secs(5)).tcp_nodelay(true);
        let client = QueryClient::new(tithon_runtime::dial(dial, DialOptions::default()));
        let client = client.max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(PromqlClient { address: address.to_owned(), client })
    }

    /// The querier's address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Evaluates a deduplicated instant query at a time in whole seconds since 1970. Returns series with one sample
    /// each, and warnings.
    ///
    /// Fails when the call fails or the answer has too many samples.
    pub async fn instant(
        &self,
        query: &str,
        at_seconds: i64,
        partial_response: bool,
    ) -> Result<(Vec<PromqlSeries>, Vec<String>), EndpointError> {
        let failed = |status: tonic::Status| EndpointError::Call {
            call: "query",
            store: self.address.clone(),
            status: go_status(&status),
        };
        let request = QueryRequest {
            query: query.to_owned(),
            time_seconds: at_seconds,
            enable_dedup: true,
            enable_partial_response: partial_response,
            response_batch_size: 1024,
            ..QueryRequest::default()
        };
        let mut frames = self.client.clone().query(request).await.map_err(failed)?.into_inner();
        let (mut series, mut warnings) = (Vec::new(), Vec::new());
        while let Some(frame) = frames.message().await.map_err(failed)? {
            match frame.result {
                Some(query_response::Result::Warnings(text)) => warnings.push(text),
                Some(query_response::Result::Timeseries(one)) => read(&one, &mut series),
                Some(query_response::Result::TimeseriesBatch(batch)) => {
                    batch.series.iter().for_each(|one| read(one, &mut series));
                }
                Some(query_response::Result::Stats(_)) | None => {}
            }
            if series.len() > SAMPLES_MAX {
                let status = format!("more than {SAMPLES_MAX} samples");
                return Err(EndpointError::Call { call: "query", store: self.address.clone(), status });
            }
        }
        Ok((series, warnings))
    }
}

/// Appends a series with its last sample.
fn read(wire: &TimeSeries, series: &mut Vec<PromqlSeries>) {
    let points = points_from_wire(wire);
    let mut histograms = points.histograms;
    let point = match (points.floats.last(), histograms.pop()) {
        (Some((t, value)), _) => PromqlPoints::Float(*t, *value),
        (None, Some((t, histogram))) => PromqlPoints::Histogram(t, Arc::new(histogram)),
        (None, None) => return,
    };
    series.push(PromqlSeries { labels: points.labels, points: point });
}
