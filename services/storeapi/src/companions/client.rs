//! The companion APIs of a server at another address.

use futures::FutureExt;
use prost::Message;
use tithon_chunks::ErrorKind;
use tithon_proto::thanos::exemplars_client::ExemplarsClient;
use tithon_proto::thanos::metadata_client::MetadataClient;
use tithon_proto::thanos::rules_client::RulesClient;
use tithon_proto::thanos::status_client::StatusClient;
use tithon_proto::thanos::targets_client::TargetsClient;
use tithon_proto::thanos::{
    exemplars_response, metric_metadata_response, rules_response, targets_response, tsdb_statistics_response,
};
use tithon_runtime::to_status;
use tonic::{Response, Status, Streaming};

use super::{
    Companions, ExemplarsRequest, MetadataByMetric, MetadataRequest, RuleGroup, RulesRequest,
    SeriesExemplars, StatisticsByTenant, StatisticsRequest, TargetsByState, TargetsRequest, Telling, Told,
};
use crate::endpoint::{Endpoint, EndpointError};

/// A frame of an answer: one piece, a warning, or nothing that is known.
enum Frame<T> {
    Piece(T),
    Warning(String),
    Unknown,
}

/// The words of a call in errors, as Thanos has them.
#[derive(Clone, Copy)]
struct Words {
    fetching: &'static str,
    receiving: &'static str,
}

impl Endpoint {
    /// Reads an answer to its end; with `partial` a failure becomes a warning.
    async fn tell<F: Message, T>(
        &self,
        words: Words,
        partial: bool,
        call: impl Future<Output = Result<Response<Streaming<F>>, Status>>,
        read: impl Fn(F) -> Frame<T>,
    ) -> Result<Told<T>, EndpointError> {
        let mut told = Told::default();
        match self.receive_frames(words, call, read, &mut told).await {
            Err(error) if partial => told.warnings.push(error.to_string()),
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        Ok(told)
    }

    async fn receive_frames<F: Message, T>(
        &self,
        words: Words,
        call: impl Future<Output = Result<Response<Streaming<F>>, Status>>,
        read: impl Fn(F) -> Frame<T>,
        told: &mut Told<T>,
    ) -> Result<(), EndpointError> {
        let answer = self.in_time(call).await.map_err(|silence| self.silent(silence))?;
        let mut frames = answer.map_err(|status| self.failed(words.fetching, &status))?.into_inner();
        let mut bytes = 0_usize;
        loop {
            let frame = self.in_time(frames.message()).await.map_err(|silence| self.silent(silence))?;
            let frame = frame.map_err(|status| self.failed(words.receiving, &status))?;
            let Some(frame) = frame else { return Ok(()) };
            bytes = bytes.saturating_add(frame.encoded_len());
            if bytes > self.message_bytes_max() {
                let text = format!("the answer is longer than {} bytes", self.message_bytes_max());
                return Err(self.failed(words.receiving, &to_status(ErrorKind::LimitExceeded, text)));
            }
            match read(frame) {
                Frame::Piece(piece) => told.found.push(piece),
                Frame::Warning(warning) => told.warnings.push(warning),
                Frame::Unknown => {}
            }
        }
    }
}

/// Calls a service of an endpoint: its client and method, the piece and the warning of its frames.
macro_rules! ask {
    ($endpoint:expr, $request:expr, $partial:expr, $words:expr, $client:ident.$method:ident, $result:path, $piece:ident, $from:path) => {{
        let (endpoint, wire, partial, words) = ($endpoint.clone(), $request, $partial, $words);
        async move {
            let bytes = endpoint.message_bytes_max();
            let mut client = $client::new(endpoint.channel()?).max_decoding_message_size(bytes);
            let call = client.$method(wire);
            use $result as Part;
            let told = endpoint.tell(words, partial, call, |frame| match frame.result {
                Some(Part::$piece(piece)) => Frame::Piece($from(piece)),
                Some(Part::Warning(warning)) => Frame::Warning(warning),
                None => Frame::Unknown,
            });
            Ok(told.await?)
        }
        .boxed()
    }};
}

impl Companions for Endpoint {
    fn rules(&self, request: RulesRequest) -> Telling<RuleGroup> {
        let words = Words {
            fetching: "fetching rules from rules client",
            receiving: "receiving rules from rules client",
        };
        ask!(
            self,
            request.to_wire(),
            request.partial_response,
            words,
            RulesClient.rules,
            rules_response::Result,
            Group,
            RuleGroup::from_wire
        )
    }

    fn targets(&self, request: TargetsRequest) -> Telling<TargetsByState> {
        let words = Words {
            fetching: "fetching targets from targets client",
            receiving: "receiving targets from targets client",
        };
        ask!(
            self,
            request.to_wire(),
            request.partial_response,
            words,
            TargetsClient.targets,
            targets_response::Result,
            Targets,
            TargetsByState::from_wire
        )
    }

    fn metadata(&self, request: MetadataRequest) -> Telling<MetadataByMetric> {
        let words = Words {
            fetching: "fetching metric metadata from metadata client",
            receiving: "receiving metric metadata from metadata client",
        };
        let partial = request.partial_response;
        ask!(
            self,
            request.into_wire(),
            partial,
            words,
            MetadataClient.metric_metadata,
            metric_metadata_response::Result,
            Metadata,
            MetadataByMetric::from_wire
        )
    }

    fn exemplars(&self, request: ExemplarsRequest) -> Telling<SeriesExemplars> {
        let words = Words {
            fetching: "fetching exemplars from exemplars client",
            receiving: "receiving exemplars from exemplars client",
        };
        let partial = request.partial_response;
        ask!(
            self,
            request.into_wire(),
            partial,
            words,
            ExemplarsClient.exemplars,
            exemplars_response::Result,
            Data,
            SeriesExemplars::from_wire
        )
    }

    fn statistics(&self, request: StatisticsRequest) -> Telling<StatisticsByTenant> {
        let words = Words {
            fetching: "fetching tsdb statistics from status client",
            receiving: "receiving tsdb statistics from status client",
        };
        let partial = request.partial_response;
        ask!(
            self,
            request.into_wire(),
            partial,
            words,
            StatusClient.tsdb_statistics,
            tsdb_statistics_response::Result,
            Statistics,
            StatisticsByTenant::from_wire
        )
    }
}
