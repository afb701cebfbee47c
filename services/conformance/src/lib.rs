//! `tithon tools storeapi-check`: sends valid and invalid requests to a StoreAPI server, and reports which rules of the
//! protocol its answers keep.
//!
//! The server is accessed only over its socket, so it may be of any kind: a store, a sidecar, a receiver, a querier, or
//! a provider of other metrics. The requests follow from the server's `Info` and from a sample of its series
//! (`sample.rs`); the expected answers are derived from that sample. The rules are those of Thanos's
//! `pkg/store/storepb/rpc.proto` and those its queriers rely on.

mod answer;
mod client;
mod expect;
mod report;
mod requests;
mod rules;
mod sample;

use std::time::Duration;

use tithon_proto::thanos::LabelMatcher;
use tithon_runtime::ClientTls;

pub use crate::report::{Report, Verdict};

use crate::client::Client;
use crate::rules::Checker;

/// The server to examine, and how to call it.
#[derive(Clone)]
pub struct Options {
    /// The server's address, `host:port`.
    pub address: String,
    /// TLS; `None` is clear text.
    pub tls: Option<ClientTls>,
    /// Timeout of a call.
    pub timeout: Duration,
    /// Metrics to use in requests; if empty, the tool chooses from what the server has.
    pub metrics: Vec<String>,
}

/// Why a server could not be examined.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The address is invalid.
    #[error("--address={address}: {reason}; expected host:port")]
    Address {
        /// The address.
        address: String,
        /// What is wrong with the address.
        reason: String,
    },
    /// The server cannot be reached or does not answer `Info`.
    #[error("{address}: {call}: {reason}")]
    NoAnswer {
        /// The address.
        address: String,
        /// The call that failed.
        call: &'static str,
        /// The error of the call.
        reason: String,
    },
}

/// Sends all requests, one after the other. Must run inside a tokio runtime.
///
/// Fails when the address is invalid or `Info` fails.
pub async fn check(options: &Options) -> Result<Report, CheckError> {
    let client = Client::new(options)?;
    let info = client.info().await.map_err(|failure| CheckError::NoAnswer {
        address: options.address.clone(),
        call: "Info",
        reason: failure.to_string(),
    })?;
    let mut checker = Checker::new(client, info, &options.address);
    rules::info::check(&mut checker).await;
    rules::malformed::check(&mut checker).await;
    if let Some(sample) = sample::take(&mut checker, &options.metrics).await {
        rules::matchers::check(&mut checker, &sample).await;
        rules::time::check(&mut checker, &sample).await;
        rules::shape::check(&mut checker, &sample).await;
        rules::replicas::check(&mut checker, &sample).await;
        rules::shards::check(&mut checker, &sample).await;
        rules::downsampled::check(&mut checker, &sample).await;
        rules::labels::check(&mut checker, &sample).await;
        rules::hints::check(&mut checker, &sample).await;
        rules::together::check(&mut checker, &sample).await;
    }
    Ok(checker.finish())
}

/// Matchers of a request as wire messages.
type Matchers = Vec<LabelMatcher>;
