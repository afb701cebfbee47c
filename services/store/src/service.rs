//! The gRPC services `thanos.Store` and `thanos.info.Info` over a [`Store`].

use futures::stream::BoxStream;
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_proto::hintspb::{
    Block, LabelNamesRequestHints, LabelNamesResponseHints, LabelValuesRequestHints,
    LabelValuesResponseHints, SeriesRequestHints,
};
use tithon_proto::thanos::info::info_server::{Info, InfoServer};
use tithon_proto::thanos::info::{InfoRequest, InfoResponse, StoreInfo, TsdbInfo};
use tithon_proto::thanos::{
    Aggr, LabelMatcher, LabelNamesRequest, LabelNamesResponse, LabelValuesRequest, LabelValuesResponse,
    PartialResponseStrategy, SeriesRequest,
};
use tithon_proto::{ConvertError, Hint, SeriesFrame, hint_from_any, hint_to_any, label_set, shard_from_wire};
use tithon_runtime::{Priority, Probes, to_status};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::frames::{Framer, frames};
use crate::matchers;
use crate::request::DEFAULT_TENANT;
use crate::rpc::StoreRpc;
use crate::{LabelAnswer, LabelsRequest, SelectRequest, Store, StoreError};

type Frames = BoxStream<'static, Result<SeriesFrame, Status>>;

/// The wire's face of a [`Store`].
#[derive(Clone)]
pub struct StoreService {
    store: Store,
    probes: Probes,
}

impl StoreService {
    /// `Info` fails as long as `probes` say that the process is not ready.
    pub fn new(store: Store, probes: Probes) -> StoreService {
        StoreService { store, probes }
    }

    /// The names of both services, for reflection.
    pub const SERVICES: &'static [&'static str] = &["thanos.Store", "thanos.info.Info"];

    /// Both services; messages may be as big as Thanos allows.
    pub fn routes(self) -> Routes {
        Routes::new(StoreRpc(self.clone())).add_service(InfoServer::new(self))
    }

    pub(crate) async fn series(&self, request: Request<SeriesRequest>) -> Result<Response<Frames>, Status> {
        let tenant = request.metadata().get("thanos-tenant").and_then(|value| value.to_str().ok());
        let tenant = tenant.unwrap_or(DEFAULT_TENANT).to_owned();
        let wire = request.into_inner();
        let batch = not_negative("response_batch_size", wire.response_batch_size).map_err(series_status)?;
        let request = self.understand(move || select_request(wire, tenant)).await.map_err(series_status)?;
        let framer = Framer::new(request.aggregates.clone(), usize::try_from(batch).unwrap_or(usize::MAX));
        Ok(Response::new(frames(self.store.select(request), framer)))
    }

    /// Makes a request of a message on the CPU pool: reading many patterns takes long.
    async fn understand<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.store.inner.cpu.run(Priority::Query, read).await?
    }

    pub(crate) async fn label_names(
        &self,
        wire: LabelNamesRequest,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        let read = move || {
            let hints: LabelNamesRequestHints = hints("unmarshal label names request hints: ", wire.hints)?;
            Ok(LabelsRequest {
                matchers: label_matchers(&wire.matchers)?,
                range: TimeRange::new(wire.start, wire.end),
                whole_blocks: false,
                without_labels: wire.without_replica_labels,
                limit: limit(wire.limit),
                block_matchers: block_matchers(&hints.block_matchers)?,
                abort_on_fault: aborts(wire.partial_response_disabled, wire.partial_response_strategy),
            })
        };
        let request = self.understand(read).await.map_err(label_status)?;
        let answer = self.store.label_names(request).await.map_err(label_status)?;
        let hints = LabelNamesResponseHints { queried_blocks: queried(&answer) };
        Ok(Response::new(LabelNamesResponse {
            names: answer.found.into_iter().map(Into::into).collect(),
            warnings: answer.warnings,
            hints: Some(hint_to_any(&hints)),
        }))
    }

    pub(crate) async fn label_values(
        &self,
        mut wire: LabelValuesRequest,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        let label = std::mem::take(&mut wire.label);
        let read = move || {
            let hints: LabelValuesRequestHints = hints("unmarshal label values request hints: ", wire.hints)?;
            Ok(LabelsRequest {
                matchers: label_matchers(&wire.matchers)?,
                range: TimeRange::new(wire.start, wire.end),
                whole_blocks: false,
                without_labels: wire.without_replica_labels,
                limit: limit(wire.limit),
                block_matchers: block_matchers(&hints.block_matchers)?,
                abort_on_fault: aborts(wire.partial_response_disabled, wire.partial_response_strategy),
            })
        };
        let request = self.understand(read).await.map_err(label_status)?;
        let dropped = request.without_labels.iter().any(|w| w.as_bytes() == label);
        let answer = self.store.label_values(&label, request).await.map_err(label_status)?;
        let hints = LabelValuesResponseHints { queried_blocks: queried(&answer) };
        Ok(Response::new(LabelValuesResponse {
            values: answer.found.into_iter().map(Into::into).collect(),
            warnings: answer.warnings,
            hints: (!dropped).then(|| hint_to_any(&hints)),
        }))
    }
}

#[tonic::async_trait]
impl Info for StoreService {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        if !self.probes.is_ready() {
            return Err(Status::unknown("Not ready"));
        }
        let advertised = self.store.advertised();
        let tsdb_infos = advertised.stretches.iter().map(|stretch| TsdbInfo {
            labels: Some(label_set(&stretch.labels)),
            min_time: stretch.min_time,
            max_time: stretch.max_time,
        });
        let store = StoreInfo {
            min_time: advertised.range.min.0,
            max_time: advertised.range.max.0,
            supports_sharding: true,
            supports_without_replica_labels: true,
            tsdb_infos: tsdb_infos.collect(),
            supports_projections: false,
        };
        Ok(Response::new(InfoResponse {
            label_sets: advertised.label_sets.iter().map(label_set).collect(),
            component_type: "store".to_owned(),
            store: Some(store),
            ..InfoResponse::default()
        }))
    }
}

fn select_request(wire: SeriesRequest, tenant: String) -> Result<SelectRequest, StoreError> {
    not_negative("max_resolution_window", wire.max_resolution_window)?;
    let hints: SeriesRequestHints = hints("unmarshal series request hints: ", wire.hints)?;
    Ok(SelectRequest {
        matchers: matchers::from_wire(&wire.matchers, "")?,
        range: TimeRange::new(wire.min_time, wire.max_time),
        max_resolution_ms: wire.max_resolution_window,
        // Upstream selects nothing for an aggregate that it does not know.
        aggregates: wire.aggregates.iter().filter_map(|a| Aggr::try_from(*a).ok()).collect(),
        skip_chunks: wire.skip_chunks,
        without_labels: wire.without_replica_labels,
        shard: wire.shard_info.and_then(shard_from_wire),
        limit: limit(wire.limit),
        block_matchers: block_matchers(&hints.block_matchers)?,
        abort_on_fault: aborts(wire.partial_response_disabled, wire.partial_response_strategy),
        tenant,
    })
}

fn limit(wire: i64) -> usize {
    usize::try_from(wire).unwrap_or(0)
}

fn aborts(disabled: bool, strategy: i32) -> bool {
    disabled || strategy == i32::from(PartialResponseStrategy::Abort)
}

fn not_negative(field: &'static str, value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Negative { field, value })
}

fn hints<H: Hint>(place: &'static str, any: Option<prost_types::Any>) -> Result<H, StoreError> {
    let Some(any) = any else { return Ok(H::default()) };
    hint_from_any(&any).map_err(|source| StoreError::Request { place, source })
}

fn label_matchers(wire: &[LabelMatcher]) -> Result<Vec<tithon_index::Matcher>, StoreError> {
    matchers::from_wire(wire, "translate request labels matchers: ")
}

fn block_matchers(wire: &[LabelMatcher]) -> Result<Vec<tithon_index::Matcher>, StoreError> {
    matchers::from_wire(wire, "translate request hints labels matchers: ")
}

fn queried(answer: &LabelAnswer) -> Vec<Block> {
    answer.queried.iter().map(|id| Block { id: id.to_string() }).collect()
}

/// As Thanos: a block that cannot be read aborts, one without a wanted aggregate is `Unknown`, the rest goes by kind.
pub(crate) fn series_status(error: StoreError) -> Status {
    let message = error.to_string();
    match &error {
        StoreError::Chunk { source: ConvertError::NoAggregate(_), .. } => Status::unknown(message),
        error if error.spares_other_blocks() => Status::aborted(message),
        error => to_status(error.kind(), message),
    }
}

/// As Thanos: a block that cannot be read is `Internal`, the rest goes by kind.
fn label_status(error: StoreError) -> Status {
    let kind = if error.spares_other_blocks() { ErrorKind::Internal } else { error.kind() };
    to_status(kind, error.to_string())
}
