//! Serves the companion APIs over gRPC.

use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use tithon_proto::thanos::exemplars_server::{Exemplars, ExemplarsServer};
use tithon_proto::thanos::metadata_server::{Metadata, MetadataServer};
use tithon_proto::thanos::rules_server::{Rules, RulesServer};
use tithon_proto::thanos::status_server::{Status as StatusApi, StatusServer};
use tithon_proto::thanos::targets_server::{Targets, TargetsServer};
use tithon_proto::thanos::{
    self, exemplars_response, metric_metadata_response, rules_response, targets_response,
    tsdb_statistics_response,
};
use tithon_runtime::GrpcServices;
use tonic::{Request, Response, Status};

use super::{
    Companions, ExemplarsRequest, MetadataRequest, RulesRequest, StatisticsRequest, TargetsRequest, Telling,
};
use crate::status::{convert_status, status};

/// Serves the five companion APIs. Clones share the implementation.
#[derive(Clone)]
pub struct CompanionServer(Arc<dyn Companions>);

impl CompanionServer {
    /// A server of `companions`.
    pub fn new(companions: Arc<dyn Companions>) -> CompanionServer {
        CompanionServer(companions)
    }

    /// Adds the service of rules to `services`.
    pub fn rules_and(self, services: GrpcServices) -> GrpcServices {
        services.with(RulesServer::new(self))
    }

    /// Adds the service of statistics to `services`.
    pub fn status_and(self, services: GrpcServices) -> GrpcServices {
        services.with(StatusServer::new(self))
    }

    /// Adds all five services to `services`.
    pub fn and(self, services: GrpcServices) -> GrpcServices {
        services
            .with(RulesServer::new(self.clone()))
            .with(TargetsServer::new(self.clone()))
            .with(MetadataServer::new(self.clone()))
            .with(ExemplarsServer::new(self.clone()))
            .with(StatusServer::new(self))
    }
}

type Frames<F> = BoxStream<'static, Result<F, Status>>;

/// The frames of an answer: warnings first, then the items.
async fn frames<T: Send + 'static, F: Send + 'static>(
    telling: Telling<T>,
    warning: impl Fn(String) -> F + Send + 'static,
    piece: impl Fn(T) -> F + Send + 'static,
) -> Result<Response<Frames<F>>, Status> {
    let answers = telling.await.map_err(|error| status(&error))?;
    let warnings = answers.warnings.into_iter().map(warning);
    let all = stream::iter(warnings).chain(stream::iter(answers.found).map(piece));
    Ok(Response::new(all.map(Ok).boxed()))
}

#[tonic::async_trait]
impl Rules for CompanionServer {
    type RulesStream = Frames<thanos::RulesResponse>;

    async fn rules(
        &self,
        request: Request<thanos::RulesRequest>,
    ) -> Result<Response<Self::RulesStream>, Status> {
        use rules_response::Result::{Group, Warning};
        let telling = self.0.rules(RulesRequest::from_wire(request.get_ref()));
        let frame = |result| thanos::RulesResponse { result: Some(result) };
        frames(telling, move |text| frame(Warning(text)), move |group| frame(Group(group.into_wire()))).await
    }
}

#[tonic::async_trait]
impl Targets for CompanionServer {
    type TargetsStream = Frames<thanos::TargetsResponse>;

    async fn targets(
        &self,
        request: Request<thanos::TargetsRequest>,
    ) -> Result<Response<Self::TargetsStream>, Status> {
        use targets_response::Result::{Targets, Warning};
        let telling = self.0.targets(TargetsRequest::from_wire(request.get_ref()));
        let frame = |result| thanos::TargetsResponse { result: Some(result) };
        frames(telling, move |text| frame(Warning(text)), move |found| frame(Targets(found.into_wire())))
            .await
    }
}

#[tonic::async_trait]
impl Metadata for CompanionServer {
    type MetricMetadataStream = Frames<thanos::MetricMetadataResponse>;

    async fn metric_metadata(
        &self,
        request: Request<thanos::MetricMetadataRequest>,
    ) -> Result<Response<Self::MetricMetadataStream>, Status> {
        use metric_metadata_response::Result::{Metadata, Warning};
        let telling = self.0.metadata(MetadataRequest::from_wire(request.into_inner()));
        let frame = |result| thanos::MetricMetadataResponse { result: Some(result) };
        frames(telling, move |text| frame(Warning(text)), move |found| frame(Metadata(found.into_wire())))
            .await
    }
}

#[tonic::async_trait]
impl Exemplars for CompanionServer {
    type ExemplarsStream = Frames<thanos::ExemplarsResponse>;

    async fn exemplars(
        &self,
        request: Request<thanos::ExemplarsRequest>,
    ) -> Result<Response<Self::ExemplarsStream>, Status> {
        use exemplars_response::Result::{Data, Warning};
        let telling = self.0.exemplars(ExemplarsRequest::from_wire(request.into_inner()));
        let frame = |result| thanos::ExemplarsResponse { result: Some(result) };
        frames(telling, move |text| frame(Warning(text)), move |found| frame(Data(found.into_wire()))).await
    }
}

#[tonic::async_trait]
impl StatusApi for CompanionServer {
    type TSDBStatisticsStream = Frames<thanos::TsdbStatisticsResponse>;

    async fn tsdb_statistics(
        &self,
        request: Request<thanos::TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        use tsdb_statistics_response::Result::{Statistics, Warning};
        let request = StatisticsRequest::from_wire(request.into_inner()).map_err(|e| convert_status(&e))?;
        let telling = self.0.statistics(request);
        let frame = |result| thanos::TsdbStatisticsResponse { result: Some(result) };
        frames(telling, move |text| frame(Warning(text)), move |found| frame(Statistics(found.into_wire())))
            .await
    }
}
