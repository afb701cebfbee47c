//! What every store can be asked.

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tithon_engine::{BlockId, LabelsRequest, SeriesBatch, SeriesRequest};
use tithon_index::Texts;

use crate::{Lease, StoreApiError, StoreInfo};

/// A store of series: blocks of a bucket, a server elsewhere, or other stores together.
///
/// Implementers do heavy computing on the CPU pool (`tithon_runtime::Cpu`), not in the futures and streams that they give.
/// Dropping these ends the work.
pub trait StoreApi: Send + Sync + 'static {
    /// The name of the store in warnings and errors.
    fn name(&self) -> String;

    /// What the store holds now; `None` while that is not known.
    fn info(&self) -> Option<StoreInfo>;

    /// Selects series. External labels are in their label sets, `without_labels` are not, equal label sets are one series,
    /// and series ascend by labels over all batches. An error is the last item. Must be called inside a tokio runtime.
    fn series(&self, request: SeriesRequest) -> SeriesStream;

    /// Finds label names, or the values of a label, as `values_of` says.
    fn labels(&self, request: LabelsRequest) -> LabelsFuture;

    /// Whether hints in requests are for this store: conditions on blocks, as a bucket has them. A store that hands requests
    /// on ignores hints, whatever is in them.
    fn reads_hints(&self) -> bool {
        false
    }
}

/// An answer to [`StoreApi::series`].
pub type SeriesStream = BoxStream<'static, Result<SeriesPart, StoreApiError>>;

/// An answer to [`StoreApi::labels`], on its way.
pub type LabelsFuture = BoxFuture<'static, Result<LabelsAnswer, StoreApiError>>;

/// A part of an answer with series.
#[derive(Debug)]
pub enum SeriesPart {
    /// Mapped files that chunks of later batches may be slices of, to be asked when the chunks have been used. Comes
    /// before these batches; a store without such files sends none.
    Lease(Lease),
    /// The next series. Chunks are still encoded.
    Series(SeriesBatch),
    /// Something could not be read: the answer goes on without it.
    Warning(String),
}

/// Label names or values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelsAnswer {
    /// Ascending, each once.
    pub found: Texts,
    /// What could not be read.
    pub warnings: Vec<String>,
    /// The blocks that were asked; `None` from a store that does not tell.
    pub queried_blocks: Option<Vec<BlockId>>,
}
