//! Where results go.

use tithon_proto::{WrittenValue, write_request};

use crate::remote::RemoteWrite;
use crate::{Number, RuleError, SeriesSample};

/// Where the samples of rules go. Clones share it.
#[derive(Clone)]
pub enum Storage {
    /// To other servers, by way of a queue on disk.
    Remote(RemoteWrite),
}

impl Storage {
    /// Stores samples; they are safe from a crash of this process when this comes back.
    pub(crate) fn append(&self, samples: &[SeriesSample]) -> Result<(), RuleError> {
        if samples.is_empty() {
            return Ok(());
        }
        match self {
            Storage::Remote(remote) => {
                let parts = samples.iter().map(|sample| {
                    let value = match &sample.value {
                        Number::Float(value) => WrittenValue::Float(*value),
                        Number::Histogram(histogram) => WrittenValue::Histogram(histogram),
                    };
                    (&sample.labels, sample.at_ms, value)
                });
                remote
                    .append_encoded(&write_request(parts))
                    .map_err(|error| RuleError::Storage(error.to_string()))
            }
        }
    }
}
