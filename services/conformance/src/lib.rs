//! `tithon tools storeapi-check`: asks a StoreAPI server well-formed and malformed questions, and tells which rules of the
//! protocol its answers keep.
//!
//! The server is spoken to over its socket only, so it may be anybody's: a store, a sidecar, a receiver, a querier, a provider of
//! metrics of your own. What is asked follows from what the server says of itself and from a sample of its series
//! (`sample.rs`); what is expected is worked out here from that sample. The rules are those of Thanos's
//! `pkg/store/storepb/rpc.proto` and of what its queriers rely on.

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

/// Which server is asked, and how.
#[derive(Clone)]
pub struct Options {
    /// `host:port`.
    pub address: String,
    /// Speak TLS; `None` is clear text.
    pub tls: Option<ClientTls>,
    /// The longest time that one answer may take.
    pub timeout: Duration,
    /// The metrics that the questions are about; none lets the tool choose from what the store holds.
    pub metrics: Vec<String>,
}

/// Why a server could not be examined at all.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The address cannot be used.
    #[error("--address={address}: {reason}; expected host:port")]
    Address {
        /// As given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It cannot be reached, or does not say what it is.
    #[error("{address}: {call}: {reason}")]
    NoAnswer {
        /// As given.
        address: String,
        /// What was asked.
        call: &'static str,
        /// What came back.
        reason: String,
    },
}

/// Asks all questions, one after the other. Must run inside a tokio runtime.
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

/// Matchers of a request, on the wire.
type Matchers = Vec<LabelMatcher>;
