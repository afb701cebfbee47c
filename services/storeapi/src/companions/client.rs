//! Client of the companion APIs of another server.

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
use tithon_runtime::{resend, to_status};
use tonic::{Response, Status, Streaming};

use super::{
    Companions, ExemplarsRequest, MetadataByMetric, MetadataRequest, RuleGroup, RulesRequest,
    SeriesExemplars, StatisticsByTenant, StatisticsRequest, TargetsByState, TargetsRequest, Telling, Told,
};
use crate::endpoint::{Endpoint, EndpointError};

/// A frame of an answer: an item, a warning, or a kind of frame that is unknown and skipped.
enum Frame<T> {
    Piece(T),
    Warning(String),
    Unknown,
}

/// Thanos's words for a call in error texts.
#[derive(Clone, Copy)]
struct Words {
    fetching: &'static str,
    receiving: &'static str,
}

impl Endpoint {
    /// Reads an answer to its end. With `partial`, a failure becomes a warning.
    async fn tell<F: Message, T>(
        &self,
        words: Words,
        partial: bool,
        call: impl Future<Output = Result<Response<Streaming<F>>, Status>>,
        read: impl Fn(F) -> Frame<T>,
    ) -> Result<Told<T>, EndpointError> {
        let mut answers = Told::default();
        match self.receive_frames(words, call, read, &mut answers).await {
            Err(error) if partial => answers.warnings.push(error.to_string()),
            Err(error) => return Err(error),
            Ok(()) => {}
        }
        Ok(answers)
    }

    async fn receive_frames<F: Message, T>(
        &self,
        words: Words,
        call: impl Future<Output = Result<Response<Streaming<F>>, Status>>,
        read: impl Fn(F) -> Frame<T>,
        answers: &mut Told<T>,
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
                Frame::Piece(piece) => answers.found.push(piece),
                Frame::Warning(warning) => answers.warnings.push(warning),
                Frame::Unknown => {}
            }
        }
    }
}

/// Implements a method of [`Companions`]. Arguments: the method with its request and item types, its name in error
/// texts, the gRPC client and method, and the variant of a frame that holds an item.
macro_rules! call {
    ($call:ident: $request:ty => $found:ident, $what:literal, $client:ident.$method:ident, $result:ident::$piece:ident) => {
        fn $call(&self, request: $request) -> Telling<$found> {
            let endpoint = self.clone();
            async move {
                let words =
                    Words { fetching: concat!("fetching ", $what), receiving: concat!("receiving ", $what) };
                let partial = request.partial_response;
                let bytes = endpoint.message_bytes_max();
                let client = $client::new(endpoint.channel()?).max_decoding_message_size(bytes);
                let message = request.into_wire();
                let answer = resend(|| {
                    let (mut client, message) = (client.clone(), message.clone());
                    async move { client.$method(message).await }
                });
                let answers = endpoint.tell(words, partial, answer, |frame| match frame.result {
                    Some($result::Result::$piece(piece)) => Frame::Piece($found::from_wire(piece)),
                    Some($result::Result::Warning(warning)) => Frame::Warning(warning),
                    None => Frame::Unknown,
                });
                Ok(answers.await?)
            }
            .boxed()
        }
    };
}

impl Companions for Endpoint {
    call!(rules: RulesRequest => RuleGroup, "rules from rules client",
        RulesClient.rules, rules_response::Group);
    call!(targets: TargetsRequest => TargetsByState, "targets from targets client",
        TargetsClient.targets, targets_response::Targets);
    call!(metadata: MetadataRequest => MetadataByMetric, "metric metadata from metadata client",
        MetadataClient.metric_metadata, metric_metadata_response::Metadata);
    call!(exemplars: ExemplarsRequest => SeriesExemplars, "exemplars from exemplars client",
        ExemplarsClient.exemplars, exemplars_response::Data);
    call!(statistics: StatisticsRequest => StatisticsByTenant, "tsdb statistics from status client",
        StatusClient.tsdb_statistics, tsdb_statistics_response::Statistics);
}
