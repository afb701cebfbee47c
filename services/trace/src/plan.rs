//! What tracing does: the result of a configuration.

use std::time::Duration;

use crate::export::Target;
use crate::sampler::Sampling;

/// The selection of spans to send, and their destination.
#[derive(Debug)]
pub struct Plan {
    pub(crate) service_name: String,
    /// Attributes of all spans.
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) sampling: Sampling,
    /// The collector; `None` sends no spans.
    pub(crate) target: Option<Target>,
    /// Largest number of waiting spans; further ones are dropped.
    pub(crate) queue_spans: Option<usize>,
    /// Time between two batches.
    pub(crate) flush_interval: Option<Duration>,
    /// Differences from what the configuration asks for, to be logged.
    pub notes: Vec<String>,
}
