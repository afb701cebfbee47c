//! Where results go, and where alerts of an earlier process are found.

use tithon_chunks::TimeRange;
use tithon_index::Matcher;
use tithon_proto::{WrittenValue, write_request};
use tithon_tsdb::{NewSample, NewValue, Refused, Tsdb, TsdbError};

use crate::query::QueryError;
use crate::remote::RemoteWrite;
use crate::{At, Number, Queriers, RuleError, SeriesSample};

/// Where the samples of rules go. Clones share it.
#[derive(Clone)]
pub enum Storage {
    /// To other servers, by way of a queue on disk.
    Remote(RemoteWrite),
    /// Into a data directory of the ruler's own.
    Local(Tsdb),
}

/// Why alerts of an earlier process cannot be looked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// No querier answered.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The data directory cannot be read.
    #[error(transparent)]
    Local(#[from] TsdbError),
}

impl Storage {
    /// Stores samples and gives those that are refused; the others are safe from a crash of this process when this comes back.
    pub(crate) fn append(&self, samples: &[SeriesSample]) -> Result<Vec<Refused>, RuleError> {
        if samples.is_empty() {
            return Ok(Vec::new());
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
                let appended = remote.append_encoded(&write_request(parts));
                appended.map(|()| Vec::new()).map_err(|error| RuleError::Storage(error.to_string()))
            }
            Storage::Local(tsdb) => {
                let new = samples.iter().map(|sample| {
                    let value = match &sample.value {
                        Number::Float(value) => NewValue::Float(*value),
                        Number::Histogram(histogram) => NewValue::FloatHistogram(histogram),
                    };
                    NewSample { labels: &sample.labels, t: sample.at_ms, value }
                });
                tsdb.append(new).map_err(|error| RuleError::Storage(error.to_string()))
            }
        }
    }

    /// The last sample in a range of each series that matches: in the data directory, or else where queriers find it.
    pub(crate) async fn last_of_range(
        &self,
        queriers: &Queriers,
        matchers: Vec<Matcher>,
        from: At,
        to: At,
    ) -> Result<Vec<SeriesSample>, RestoreError> {
        match self {
            Storage::Remote(_) => {
                let all: Vec<String> = matchers.iter().map(ToString::to_string).collect();
                Ok(queriers.last_of_range(&format!("{{{}}}", all.join(",")), from, to).await?)
            }
            Storage::Local(tsdb) => {
                let range = TimeRange::new(from.millis(), to.millis());
                let found = tsdb.last_floats(matchers, range).await?.into_iter();
                let sample =
                    |(labels, at_ms, value)| SeriesSample { labels, at_ms, value: Number::Float(value) };
                Ok(found.map(sample).collect())
            }
        }
    }
}
