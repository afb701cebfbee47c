//! Requests to a store: series, or label names and values. The bucket store, the querier's fan-out and both ends of the
//! StoreAPI share these types; `tithon-proto` converts the messages of the wire to and from them.

use tithon_chunks::{Aggregate, TimeRange};
use tithon_index::Matcher;

use crate::SeriesShard;

/// The tenant of a request without a tenant.
pub const DEFAULT_TENANT: &str = "default-tenant";

/// A request for series. Thanos `pkg/store/storepb/rpc.proto`, `SeriesRequest`.
#[derive(Clone, Debug)]
pub struct SeriesRequest {
    /// Conditions on the labels that a series is sent with, including external ones; all must hold.
    pub matchers: Vec<Matcher>,
    /// The chunks that share a millisecond with this range are wanted, and the series that have such chunks.
    pub range: TimeRange,
    /// The coarsest resolution of the answer, in milliseconds; 0 is raw data only.
    pub max_resolution_ms: i64,
    /// The aggregates of downsampled chunks that the caller reads. A chunk that lacks one of them is an error.
    pub aggregates: Vec<Aggregate>,
    /// Send only labels.
    pub skip_chunks: bool,
    /// Labels to remove from every series before sorting: the replica labels.
    pub without_labels: Vec<String>,
    /// The part of all series that is wanted; `None` is all of them.
    pub shard: Option<SeriesShard>,
    /// The most series to send; 0 means no limit.
    pub limit: usize,
    /// Conditions on a block's external labels and on `__block_id`; a store that has no blocks ignores them.
    pub block_matchers: Vec<Matcher>,
    /// Whether data that cannot be read leads to a warning. If not, it ends the answer with an error.
    pub partial_response: bool,
    /// The tenant of the caller; for metrics only.
    pub tenant: String,
}

impl SeriesRequest {
    /// Raw series that satisfy `matchers`, with chunks that overlap `range`; a partial answer is accepted.
    pub fn new(matchers: Vec<Matcher>, range: TimeRange) -> SeriesRequest {
        SeriesRequest {
            matchers,
            range,
            max_resolution_ms: 0,
            aggregates: Vec::new(),
            skip_chunks: false,
            without_labels: Vec::new(),
            shard: None,
            limit: 0,
            block_matchers: Vec::new(),
            partial_response: true,
            tenant: DEFAULT_TENANT.to_owned(),
        }
    }
}

/// A request for label names or values. Thanos `pkg/store/storepb/rpc.proto`, `LabelNamesRequest` and
/// `LabelValuesRequest`.
#[derive(Clone, Debug)]
pub struct LabelsRequest {
    /// The label whose values are wanted; `None` asks for label names.
    pub values_of: Option<Vec<u8>>,
    /// Conditions on the series that count; without any, every series of the blocks that overlap `range` counts.
    pub matchers: Vec<Matcher>,
    /// The blocks that share a millisecond with this range are read.
    pub range: TimeRange,
    /// Count every series of such a block, as Prometheus does, and not only series with a chunk in the range. The wire
    /// has no field for this.
    pub whole_blocks: bool,
    /// Labels to treat as absent: the replica labels.
    pub without_labels: Vec<String>,
    /// The most names or values to send; 0 means no limit.
    pub limit: usize,
    /// Conditions on a block's external labels and on `__block_id`; a store that has no blocks ignores them.
    pub block_matchers: Vec<Matcher>,
    /// Whether data that cannot be read leads to a warning. If not, the call fails.
    pub partial_response: bool,
    /// The tenant of the caller; for metrics only.
    pub tenant: String,
}

impl LabelsRequest {
    /// Label names of the series that satisfy `matchers`; a partial answer is accepted.
    pub fn names(matchers: Vec<Matcher>, range: TimeRange) -> LabelsRequest {
        LabelsRequest {
            values_of: None,
            matchers,
            range,
            whole_blocks: false,
            without_labels: Vec::new(),
            limit: 0,
            block_matchers: Vec::new(),
            partial_response: true,
            tenant: DEFAULT_TENANT.to_owned(),
        }
    }

    /// Values that `label` has in the series that satisfy `matchers`; a partial answer is accepted.
    pub fn values(label: impl Into<Vec<u8>>, matchers: Vec<Matcher>, range: TimeRange) -> LabelsRequest {
        LabelsRequest { values_of: Some(label.into()), ..LabelsRequest::names(matchers, range) }
    }

    /// Whether a label of this name is to be treated as absent.
    pub fn is_without(&self, name: &[u8]) -> bool {
        self.without_labels.iter().any(|without| without.as_bytes() == name)
    }
}
