//! Requests in our own types.

use tithon_chunks::TimeRange;
use tithon_engine::SeriesShard;
use tithon_index::Matcher;
use tithon_proto::thanos::Aggr;

/// Which series, and what of them.
#[derive(Clone, Debug)]
pub struct SelectRequest {
    /// Conditions on the labels that a series is sent with, external ones included.
    pub matchers: Vec<Matcher>,
    /// Chunks that share a millisecond with it.
    pub range: TimeRange,
    /// The coarsest resolution that may answer, in milliseconds.
    pub max_resolution_ms: i64,
    /// The aggregates of downsampled chunks that the caller will read; one that a chunk lacks is an error.
    pub aggregates: Vec<Aggr>,
    /// Labels only.
    pub skip_chunks: bool,
    /// Labels to take away from every series.
    pub without_labels: Vec<String>,
    /// The part of the series that is wanted.
    pub shard: Option<SeriesShard>,
    /// The most series; 0 is no limit.
    pub limit: usize,
    /// Conditions on a block's external labels and on `__block_id`.
    pub block_matchers: Vec<Matcher>,
    /// Fail when a block cannot be read; else answer from the others and warn.
    pub abort_on_fault: bool,
    /// Who asks; for metrics only.
    pub tenant: String,
}

/// The tenant of those who name none.
pub(crate) const DEFAULT_TENANT: &str = "default-tenant";

impl SelectRequest {
    /// Raw series that satisfy `matchers`, with chunks that overlap `range`.
    pub fn new(matchers: Vec<Matcher>, range: TimeRange) -> SelectRequest {
        SelectRequest {
            matchers,
            range,
            max_resolution_ms: 0,
            aggregates: Vec::new(),
            skip_chunks: false,
            without_labels: Vec::new(),
            shard: None,
            limit: 0,
            block_matchers: Vec::new(),
            abort_on_fault: false,
            tenant: DEFAULT_TENANT.to_owned(),
        }
    }
}

/// Which label names or values.
#[derive(Clone, Debug)]
pub struct LabelsRequest {
    /// Conditions on series; none counts every series of the blocks that overlap `range`.
    pub matchers: Vec<Matcher>,
    /// Blocks that share a millisecond with it are asked.
    pub range: TimeRange,
    /// Count every series of a block that is asked, as Prometheus does, not only those with a chunk in the range.
    pub whole_blocks: bool,
    /// Labels that are taken for absent.
    pub without_labels: Vec<String>,
    /// The most to give; 0 is no limit.
    pub limit: usize,
    /// Conditions on a block's external labels and on `__block_id`.
    pub block_matchers: Vec<Matcher>,
    /// Fail when a block cannot be read; else answer from the others and warn.
    pub abort_on_fault: bool,
}

impl LabelsRequest {
    /// Names or values of the series that satisfy `matchers`.
    pub fn new(matchers: Vec<Matcher>, range: TimeRange) -> LabelsRequest {
        LabelsRequest {
            matchers,
            range,
            whole_blocks: false,
            without_labels: Vec::new(),
            limit: 0,
            block_matchers: Vec::new(),
            abort_on_fault: false,
        }
    }
}
