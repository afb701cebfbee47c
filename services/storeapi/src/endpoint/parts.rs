//! Calls of `tithon.Parts` to an endpoint.

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tithon_proto::tithon::PartResponse;
use tithon_proto::tithon::parts_client::PartsClient;
use tithon_runtime::resend;
use tonic::{Status, Streaming};

use super::calls::with_tenant;
use super::{Endpoint, EndpointError};
use crate::parts::{PARTS_VERSION, PartPiece, PartRequest, piece, request_to_wire};

/// The pieces of an answer as they arrive.
pub type PartPieces = BoxStream<'static, Result<PartPiece, EndpointError>>;

const CALL: &str = "evaluate part of query at";

impl Endpoint {
    /// Whether it is asked now, and evaluates parts of queries as this process does.
    pub fn evaluates_parts(&self) -> bool {
        self.is_asked()
            && self.state(|state| state.info.as_ref().is_some_and(|info| info.parts == Some(PARTS_VERSION)))
    }

    /// Evaluates a part of a query there. Dropping the stream ends the call.
    ///
    /// A piece fails when the call fails, when nothing arrives within the response timeout, and when a message is longer than the
    /// endpoint's limit.
    pub fn part(&self, request: PartRequest) -> PartPieces {
        stream::once(self.clone().evaluate(request)).try_flatten().boxed()
    }

    async fn evaluate(self, request: PartRequest) -> Result<PartPieces, EndpointError> {
        let message = request_to_wire(&request);
        let client = PartsClient::new(self.channel()?).max_decoding_message_size(self.message_bytes_max());
        let call = resend(|| {
            let (mut client, message) = (client.clone(), with_tenant(&request.tenant, message.clone()));
            async move { client.evaluate(message).await }
        });
        let answer = self.in_time(call).await.map_err(|silence| self.silent(silence))?;
        let responses = answer.map_err(|status| self.failed(CALL, &status))?.into_inner();
        let steps = request.times.steps();
        let next = move |(endpoint, mut responses): (Endpoint, Streaming<PartResponse>)| async move {
            loop {
                let response = endpoint.in_time(responses.message()).await;
                let response = response.map_err(|silence| endpoint.silent(silence))?;
                let response = response.map_err(|status: Status| endpoint.failed(CALL, &status))?;
                let Some(response) = response else { return Ok(None) };
                if let Some(piece) = piece(response, steps) {
                    return Ok(Some((piece, (endpoint, responses))));
                }
            }
        };
        Ok(stream::try_unfold((self, responses), next).boxed())
    }
}
