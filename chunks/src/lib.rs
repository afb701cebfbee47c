//! Prometheus chunks: timestamps and values of one series, compressed, and the files they lie in.
//!
//! Knows samples; knows no label, file handle or thread. Formats: Prometheus `tsdb/chunkenc`, `tsdb/chunks`,
//! Thanos `pkg/compact/downsample/aggr.go`.

mod batch;
mod chunk;
mod encoding;
mod error;
mod histogram;
mod time;

pub use crate::batch::{HistogramSamples, SampleBatch, Samples};
pub use crate::chunk::{ChunkMeta, ChunkRef, EncodedChunk};
pub use crate::encoding::Encoding;
pub use crate::error::{ChunkError, ErrorKind};
pub use crate::histogram::{CounterResetHint, FloatHistogram, Histogram, Span};
pub use crate::time::{TimeRange, Timestamp};
