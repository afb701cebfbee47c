//! Blocks as Parquet files, for DuckDB, Spark, pandas and the like: [`Exporter`] writes one, [`ParquetBlock`] reads one.
//!
//! A file holds one block. Its rows are chunks, copied byte by byte, or samples ([`Rows`]); `docs/parquet.md` describes the
//! columns. Memory is bounded by a row group when writing, and by a batch of rows and one series when reading.

mod error;

mod column;
mod schema;

mod histogram;

mod export;
mod rows;

mod import;

pub use crate::error::ParquetError;
pub use crate::export::{Exported, Exporter};
pub use crate::import::ParquetBlock;
pub use crate::schema::{Rows, keys};
