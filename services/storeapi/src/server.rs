//! The gRPC services `thanos.Store` and `thanos.info.Info` over any [`StoreApi`].

use std::sync::Arc;

use tithon_chunks::ErrorKind;
use tithon_engine::{BlockId, DEFAULT_TENANT};
use tithon_proto::hintspb::{Block, LabelNamesResponseHints, LabelValuesResponseHints};
use tithon_proto::thanos::info::info_server::{Info, InfoServer};
use tithon_proto::thanos::info::{InfoRequest, InfoResponse};
use tithon_proto::thanos::label_matcher::Type;
use tithon_proto::thanos::{LabelMatcher, LabelNamesRequest, LabelValuesRequest, SeriesRequest};
use tithon_proto::{
    ConvertError, hint_to_any, label_names_request_from_wire, label_values_request_from_wire,
    series_request_from_wire,
};
use tithon_runtime::{Cpu, GrpcServices, Priority, Probes, to_status};
use tonic::{Request, Response, Status};

use crate::codec::LabelsMessage;
use crate::frames::{Framer, Frames, frames};
use crate::rpc::StoreRpc;
use crate::status::{convert_status, status};
use crate::{PARTS_VERSION, StoreApi, StoreInfo};

/// Serves a store. Clones share it.
#[derive(Clone)]
pub struct StoreApiServer {
    store: Arc<dyn StoreApi>,
    cpu: Cpu,
    probes: Probes,
    /// The version by which parts of queries are evaluated beside the store.
    parts: Option<u32>,
}

impl StoreApiServer {
    /// A server of `store`. Requests with many patterns are parsed on `cpu`. `Info` fails while `probes` say that the
    /// process is not ready.
    pub fn new(store: Arc<dyn StoreApi>, cpu: Cpu, probes: Probes) -> StoreApiServer {
        StoreApiServer { store, cpu, probes, parts: None }
    }

    /// Tells in `Info` that a [`crate::PartsServer`] evaluates parts of queries beside the store.
    pub fn with_parts(self) -> StoreApiServer {
        StoreApiServer { parts: Some(PARTS_VERSION), ..self }
    }

    /// The services `thanos.Store` and `thanos.info.Info`; messages may be as long as Thanos allows.
    pub fn services(self) -> GrpcServices {
        GrpcServices::default().with(StoreRpc(self.clone())).with(InfoServer::new(self))
    }

    pub(crate) async fn series(&self, request: Request<SeriesRequest>) -> Result<Response<Frames>, Status> {
        let tenant = tenant(&request);
        let mut wire = request.into_inner();
        let batch = usize::try_from(wire.response_batch_size).map_err(|_| {
            let (field, value) = ("response_batch_size", wire.response_batch_size);
            convert_status(&ConvertError::Negative { field, value })
        })?;
        wire.hints = wire.hints.filter(|_| self.store.reads_hints());
        let is_quick = wire.hints.is_none() && are_quick(&wire.matchers);
        let request = self.read(is_quick, move || series_request_from_wire(wire, tenant)).await?;
        let framer = Framer::new(request.aggregates.clone(), batch);
        let partial = request.partial_response;
        Ok(Response::new(frames(self.store.series(request), partial, framer)))
    }

    pub(crate) async fn label_names(
        &self,
        request: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelsMessage>, Status> {
        let tenant = tenant(&request);
        let mut wire = request.into_inner();
        wire.hints = wire.hints.filter(|_| self.store.reads_hints());
        let is_quick = wire.hints.is_none() && are_quick(&wire.matchers);
        let request = self.read(is_quick, move || label_names_request_from_wire(wire, tenant)).await?;
        let answer = self.store.labels(request).await.map_err(|e| status(&e))?;
        let hints = |ids| hint_to_any(&LabelNamesResponseHints { queried_blocks: blocks(ids) });
        Ok(Response::new(LabelsMessage {
            found: answer.found,
            warnings: answer.warnings,
            hints: answer.queried_blocks.map(hints),
        }))
    }

    pub(crate) async fn label_values(
        &self,
        request: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelsMessage>, Status> {
        let tenant = tenant(&request);
        let mut wire = request.into_inner();
        wire.hints = wire.hints.filter(|_| self.store.reads_hints());
        let is_quick = wire.hints.is_none() && are_quick(&wire.matchers);
        let request = self.read(is_quick, move || label_values_request_from_wire(wire, tenant)).await?;
        let answer = self.store.labels(request).await.map_err(|e| status(&e))?;
        let hints = |ids| hint_to_any(&LabelValuesResponseHints { queried_blocks: blocks(ids) });
        Ok(Response::new(LabelsMessage {
            found: answer.found,
            warnings: answer.warnings,
            hints: answer.queried_blocks.map(hints),
        }))
    }

    /// Parses a message on this thread if that is quick, else on the CPU pool, since many patterns take long to
    /// compile.
    async fn read<T: Send + 'static>(
        &self,
        is_quick: bool,
        read: impl FnOnce() -> Result<T, ConvertError> + Send + 'static,
    ) -> Result<T, Status> {
        let read = if is_quick {
            read()
        } else {
            let done = self.cpu.run(Priority::Query, read).await;
            done.map_err(|error| to_status(error.kind(), error.to_string()))?
        };
        read.map_err(|error| convert_status(&error))
    }
}

/// Whether there are few matchers, none of them with a pattern.
fn are_quick(matchers: &[LabelMatcher]) -> bool {
    const MATCHERS_MAX: usize = 16;
    let is_plain = |m: &LabelMatcher| !matches!(Type::try_from(m.r#type), Ok(Type::Re | Type::Nre));
    matchers.len() <= MATCHERS_MAX && matchers.iter().all(is_plain)
}

/// The tenant named in the metadata of a call, or the default tenant.
pub(crate) fn tenant<T>(request: &Request<T>) -> String {
    let tenant = request.metadata().get("thanos-tenant").and_then(|value| value.to_str().ok());
    tenant.unwrap_or(DEFAULT_TENANT).to_owned()
}

fn blocks(ids: Vec<BlockId>) -> Vec<Block> {
    ids.iter().map(|id| Block { id: id.to_string() }).collect()
}

/// The `Info` service of a server without a store; it fails while `probes` say that the process is not ready.
pub fn info_services(info: StoreInfo, probes: Probes) -> GrpcServices {
    GrpcServices::default().with(InfoServer::new(InfoAlone { info, probes }))
}

struct InfoAlone {
    info: StoreInfo,
    probes: Probes,
}

#[tonic::async_trait]
impl Info for InfoAlone {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        match self.probes.is_ready() {
            true => Ok(Response::new(self.info.to_wire())),
            false => Err(to_status(ErrorKind::Unknown, "Not ready")),
        }
    }
}

#[tonic::async_trait]
impl Info for StoreApiServer {
    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        match self.store.info().filter(|_| self.probes.is_ready()) {
            Some(info) => Ok(Response::new(StoreInfo { parts: self.parts, ..info }.to_wire())),
            None => Err(to_status(ErrorKind::Unknown, "Not ready")),
        }
    }
}
