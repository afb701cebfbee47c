//! What a source is asked, and what it has to offer.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use tithon_chunks::TimeRange;
use tithon_engine::{SelectedSeries, SeriesBatch, SeriesShard};
use tithon_index::{Labels, Matcher};

/// Why a source failed; its text becomes a warning or the query's error.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// Series ascending by labels. An error ends the stream.
pub(crate) type SeriesStream = Box<dyn Iterator<Item = Result<SelectedSeries, SourceError>> + Send>;

/// The blocks that chunks of a local source's answer lie in, to be asked when the chunks have been used: their files are
/// mapped, and somebody may have cut one meanwhile.
pub trait Lease: std::fmt::Debug + Send + Sync {
    /// Fails when something was read that was not there any more: then nothing that was made of the chunks counts. Asked
    /// again, the source leaves out the block at fault.
    fn check(&self) -> Result<(), SourceError>;

    /// The block, for people, that the bytes of a chunk lie in, where that can be told.
    fn block_of(&self, chunk: &[u8]) -> Option<String>;
}

/// A part of a local source's answer.
#[derive(Debug)]
pub enum LocalPart {
    /// What to ask when the chunks of the series have been used; comes before them.
    Lease(Arc<dyn Lease>),
    /// The next series; batches follow each other in label order.
    Series(SeriesBatch),
    /// A block could not be read: the answer goes on without it.
    Warning(String),
}

/// A source's answer to a question for labels.
#[derive(Debug, Default)]
pub struct SourceLabels {
    /// Names or values.
    pub found: Vec<Vec<u8>>,
    /// Blocks that could not be read.
    pub warnings: Vec<String>,
}

/// One of the five values that stand for a window of a downsampled series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aggregate {
    /// Number of raw samples.
    Count,
    /// Their sum.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The counter, resets taken out.
    Counter,
}

/// A selection of series.
#[derive(Clone, Debug)]
pub struct SeriesRequest {
    /// Conditions on the complete label set, external labels included.
    pub matchers: Vec<Matcher>,
    /// Series count that have a chunk sharing a millisecond with it; such chunks are wanted.
    pub range: TimeRange,
    /// Labels only.
    pub skip_chunks: bool,
    /// The coarsest resolution that may answer, milliseconds: 0 is raw data only.
    pub max_resolution_ms: i64,
    /// What is wanted of downsampled chunks.
    pub aggregates: Vec<Aggregate>,
    /// Labels to take away from every series before sorting.
    pub without_labels: Vec<String>,
    /// The part of the series that is wanted; a source leaves the others out.
    pub shard: Option<SeriesShard>,
    /// At most so many series; 0 is no limit.
    pub limit: usize,
}

/// A question for label names, or the values of one label.
#[derive(Clone, Debug)]
pub struct LabelsRequest {
    /// The label whose values are wanted; `None` asks for names.
    pub values_of: Option<String>,
    /// Conditions on the series that count; none counts all series.
    pub matchers: Vec<Matcher>,
    /// Blocks count that share time with it.
    pub range: TimeRange,
    /// External labels to leave out; asked for one of them, a source has no values.
    pub without_labels: Vec<String>,
    /// At most so many; 0 is no limit.
    pub limit: usize,
}

/// What a source holds.
#[derive(Clone, Debug)]
pub struct SourceInfo {
    /// Address, or a name for a local source.
    pub name: String,
    /// What it is: `store`, `sidecar`, `query`, `rule`, `receive`.
    pub component: String,
    /// External labels of its data; none means that it may hold anything.
    pub label_sets: Vec<Labels>,
    /// The time that its data covers.
    pub range: TimeRange,
    /// When it was last heard of, milliseconds since 1970; 0 for a local source.
    pub last_check_ms: i64,
    /// Why it could not be heard of since then.
    pub last_error: Option<String>,
}

/// Blocks in this process. Its own heavy work goes to the CPU pool; the querier drains a selection before it evaluates, so
/// that no thread of the pool ever waits for another.
pub trait LocalSource: Send + Sync {
    /// What it holds now.
    fn info(&self) -> SourceInfo;

    /// Selects series: external labels are in their label sets, `without_labels` are not, equal label sets are one.
    /// With `partial` a block that cannot be read costs a warning, else the answer ends with an error.
    fn series(
        &self,
        request: SeriesRequest,
        partial: bool,
    ) -> BoxStream<'static, Result<LocalPart, SourceError>>;

    /// Label names or values; `partial` as above.
    fn labels(
        &self,
        request: LabelsRequest,
        partial: bool,
    ) -> BoxFuture<'static, Result<SourceLabels, SourceError>>;
}
