//! From wire messages to our own types and back.

mod chunk;
mod hints;
mod labels;
mod matcher;
mod part;
mod points;
mod remote_read;
mod remote_write;
mod request;
mod series;
mod shard;

pub use chunk::{aggr_chunk, aggr_chunk_from_wire, check_aggregates, encoding_from_wire, encoding_to_wire};
pub use hints::{Hint, hint_from_any, hint_to_any};
pub use labels::{label_set, labels_from_wire, labels_to_wire};
pub use matcher::{matcher_to_wire, matchers_from_wire};
pub use part::{part_row_from_wire, part_row_to_wire};
pub use points::{Points, points_from_wire, points_to_wire};
pub use remote_read::{SampledSeries, read_request, sampled_series};
pub use remote_write::{WriteVersion, WrittenValue, joined_write_request, write_request};
pub use request::{
    label_names_request_from_wire, label_names_request_to_wire, label_values_request_from_wire,
    label_values_request_to_wire, series_request_from_wire, series_request_to_wire,
};
pub use series::{series_from_wire, series_to_wire};
pub use shard::{shard_from_wire, shard_to_wire};

use tithon_chunks::{ChunkError, Encoding, ErrorKind};
use tithon_index::{Labels, MatcherError};
use tithon_promql::RowError;

/// Why a message could not be converted. The texts are those that a Thanos store sends.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConvertError {
    /// A matcher of no known type.
    #[error("unrecognized label matcher type {0}")]
    MatcherType(i32),
    /// A matcher whose pattern is no regular expression.
    #[error(transparent)]
    Matcher(#[from] MatcherError),
    /// A part of a request that cannot be understood.
    #[error("{place}{source}")]
    Part {
        /// Which part, in Thanos's words, ending in a colon and a space.
        place: &'static str,
        /// What is wrong.
        source: Box<ConvertError>,
    },
    /// A number of a request that may not be negative.
    #[error("{field} must not be negative: {value}")]
    Negative {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i64,
    },
    /// An `Any` with another message in it.
    #[error("mismatched message type: got {got:?} want {want:?}")]
    MessageType {
        /// Full name of the message that is there.
        got: String,
        /// Full name of the message that belongs there.
        want: &'static str,
    },
    /// An `Any` whose type URL names no message.
    #[error("message type url {0:?} is invalid")]
    TypeUrl(String),
    /// An `Any` whose bytes are not the message that it says.
    #[error("decode {message}: {error}")]
    Message {
        /// Full name of the message.
        message: &'static str,
        /// What the decoder says.
        error: String,
    },
    /// A chunk encoding that the wire has a number for and we do not know.
    #[error("chunk type {0} is unknown")]
    ChunkType(i32),
    /// A chunk encoding that the wire has no number for.
    #[error("unsupported chunk encoding {0:?}")]
    Encoding(Encoding),
    /// An answer to one query of remote read with the results of another number of queries.
    #[error("unexpected result size {0}")]
    Results(usize),
    /// An aggregate was asked for that the chunk does not hold.
    #[error("aggregate {0} does not exist")]
    NoAggregate(&'static str),
    /// A row of a part of a query that has other steps.
    #[error("row {0}: {1}")]
    Row(Labels, RowError),
    /// Floats that do not take eight bytes each.
    #[error("{0} bytes are no whole number of floats")]
    Floats(usize),
    /// A downsampled chunk that cannot be taken apart.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
}

/// The error for bytes that are not the message named.
pub(crate) fn unreadable(message: &'static str) -> impl Fn(prost::DecodeError) -> ConvertError {
    move |error| ConvertError::Message { message, error: error.to_string() }
}

impl ConvertError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ConvertError::Encoding(_) => ErrorKind::Unsupported,
            ConvertError::NoAggregate(_) => ErrorKind::NotFound,
            ConvertError::Chunk(error) => error.kind(),
            ConvertError::Matcher(error) => error.kind(),
            ConvertError::Part { source, .. } => source.kind(),
            _ => ErrorKind::Invalid,
        }
    }
}
