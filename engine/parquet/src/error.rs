//! Errors of Parquet files, which name the column, the row group and the row.

use std::fmt;

use tithon_chunks::{ChunkError, ErrorKind};
use tithon_engine::MetaError;
use tithon_engine::compact::MergeError;
use tithon_index::Labels;

/// The place of a value: row group and row inside it, both from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowPlace {
    /// The row group.
    pub row_group: usize,
    /// The row inside it.
    pub row: u64,
}

impl fmt::Display for RowPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row group {} row {}", self.row_group, self.row)
    }
}

/// Why a Parquet file could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    /// The file is damaged, uses a feature that is not supported, or could not be written.
    #[error("{what}: {source}")]
    Parquet {
        /// What was written or read.
        what: String,
        /// The error of the library.
        source: parquet::errors::ParquetError,
    },
    /// The file is damaged in a way that the library does not foresee.
    #[error("{what}: the bytes cannot be decoded")]
    Damaged {
        /// What was read.
        what: String,
    },
    /// A column is absent.
    #[error("column {column} is missing; {hint}")]
    MissingColumn {
        /// The column.
        column: String,
        /// What the column is needed for.
        hint: &'static str,
    },
    /// A column has no meaning, or another type than it should have.
    #[error("column {column}: found {found}, expected {expected}")]
    Column {
        /// The path of the column.
        column: String,
        /// Its type or its name.
        found: String,
        /// What would be understood.
        expected: String,
    },
    /// A row group is too large to be read in bounded memory.
    #[error(
        "row group {row_group}, column {column}: {found} bytes uncompressed, at most {most} are supported"
    )]
    TooLarge {
        /// The row group.
        row_group: usize,
        /// The column.
        column: String,
        /// Bytes that the file announces.
        found: i64,
        /// The limit.
        most: i64,
    },
    /// Columns of a row group have different numbers of rows.
    #[error("row group {row_group}, column {column}: {found} rows, expected {expected}")]
    RowCount {
        /// The row group.
        row_group: usize,
        /// The column.
        column: String,
        /// Rows that the column has.
        found: u64,
        /// Rows that the row group has.
        expected: u64,
    },
    /// A value cannot be used.
    #[error("{place}, column {column}: found {found}, expected {expected}")]
    Value {
        /// Where.
        place: RowPlace,
        /// The column.
        column: String,
        /// The value.
        found: String,
        /// What would be understood.
        expected: &'static str,
    },
    /// Rows are out of order.
    #[error("{place}: {what}; sort the rows by series, then by time (docs/parquet.md shows how)")]
    Order {
        /// Where.
        place: RowPlace,
        /// What comes behind what.
        what: String,
    },
    /// The metadata of the file cannot be used.
    #[error("metadata {key}: {source}")]
    Meta {
        /// The key.
        key: &'static str,
        /// What is wrong.
        source: MetaError,
    },
    /// A chunk cannot be decoded.
    #[error("{place}: series {labels}: {source}")]
    Chunk {
        /// Where it lies in the file; the first row when a file is written.
        place: RowPlace,
        /// The series.
        labels: Labels,
        /// What is wrong.
        source: ChunkError,
    },
    /// Samples cannot be encoded.
    #[error("{place}: series {labels}: {source}")]
    Encode {
        /// Where the chunk ends.
        place: RowPlace,
        /// The series.
        labels: Labels,
        /// What is wrong.
        source: MergeError,
    },
    /// A series of a block does not fit the columns.
    #[error("series {labels}: {what}")]
    Series {
        /// The series.
        labels: Labels,
        /// What does not fit, and what to do.
        what: &'static str,
    },
}

impl ParquetError {
    /// The kind of the error, which tells callers what to do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            ParquetError::Parquet { source: parquet::errors::ParquetError::NYI(_), .. } => {
                ErrorKind::Unsupported
            }
            ParquetError::Parquet { source: parquet::errors::ParquetError::External(_), .. } => {
                ErrorKind::Unavailable
            }
            ParquetError::Parquet { .. } | ParquetError::Damaged { .. } | ParquetError::RowCount { .. } => {
                ErrorKind::Corrupt
            }
            ParquetError::TooLarge { .. } => ErrorKind::LimitExceeded,
            ParquetError::Meta { source, .. } => source.kind(),
            ParquetError::Chunk { source, .. } => source.kind(),
            ParquetError::Encode { source, .. } => source.kind(),
            ParquetError::Series { .. } => ErrorKind::Unsupported,
            ParquetError::MissingColumn { .. }
            | ParquetError::Column { .. }
            | ParquetError::Value { .. }
            | ParquetError::Order { .. } => ErrorKind::Invalid,
        }
    }
}
