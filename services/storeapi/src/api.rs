//! The trait of all stores.

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tithon_engine::{BlockId, LabelsRequest, SeriesBatch, SeriesRequest};
use tithon_index::Texts;

use crate::{Lease, StoreApiError, StoreInfo};

/// A store of series: the blocks of a bucket, a server elsewhere, or several stores together.
///
/// Implementers run heavy computations on the CPU pool (`tithon_runtime::Cpu`), not in the futures and streams they
/// return. Dropping a future or stream ends its work.
pub trait StoreApi: Send + Sync + 'static {
    /// The name of the store, for warnings and errors.
    fn name(&self) -> String;

    /// The data that the store holds now; `None` while that is unknown.
    fn info(&self) -> Option<StoreInfo>;

    /// Selects series. Their label sets include external labels and lack `without_labels`. Series with equal label sets
    /// are joined, and series ascend by labels over all batches. An error is the last item. Must be called inside a
    /// tokio runtime.
    fn series(&self, request: SeriesRequest) -> SeriesStream;

    /// Finds label names or, if `values_of` is set, the values of that label.
    fn labels(&self, request: LabelsRequest) -> LabelsFuture;

    /// Whether the store uses hints in requests, which are matchers on the blocks of a bucket. For stores that forward
    /// requests, hints are ignored without being parsed.
    fn reads_hints(&self) -> bool {
        false
    }
}

/// The answer to [`StoreApi::series`].
pub type SeriesStream = BoxStream<'static, Result<SeriesPart, StoreApiError>>;

/// The answer to [`StoreApi::labels`].
pub type LabelsFuture = BoxFuture<'static, Result<LabelsAnswer, StoreApiError>>;

/// A part of the answer to a series request.
#[derive(Debug)]
pub enum SeriesPart {
    /// The mapped files that chunks of later batches may be slices of, to be checked after the chunks were used. Comes
    /// before these batches; a store without mapped files sends none.
    Lease(Lease),
    /// The next series, with encoded chunks.
    Series(SeriesBatch),
    /// Something could not be read, and the answer goes on without it.
    Warning(String),
}

/// The answer to a request for label names or values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelsAnswer {
    /// The distinct names or values, ascending.
    pub found: Texts,
    /// Descriptions of the data that could not be read.
    pub warnings: Vec<String>,
    /// The blocks that were asked; `None` from a store that does not report them.
    pub queried_blocks: Option<Vec<BlockId>>,
}
