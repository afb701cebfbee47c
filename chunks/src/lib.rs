//! Prometheus chunks: timestamps and values of one series, compressed, and the files they lie in.
//!
//! Knows samples; knows no label, file handle or thread. Formats: Prometheus `tsdb/chunkenc`, `tsdb/chunks`,
//! Thanos `pkg/compact/downsample/aggr.go`.

// Values
mod batch;
pub mod calendar;
mod chunk;
mod encoding;
mod error;
mod histogram;
mod histogram_batch;
mod sample;
mod time;
// Bytes and bits
mod bits;
mod checksum;
mod reader;
mod start;
mod varbit;
mod xor_code;
// Encodings
mod aggregate;
mod batches;
mod count;
mod decode;
mod histogram_chunk;
mod kernel;
mod sink;
mod xor;
mod xor2;
// Files
mod segment;

pub use crate::aggregate::{Aggregate, AggregateChunk};
pub use crate::batch::{HistogramSamples, STALE_NAN_BITS, SampleBatch, Samples};
pub use crate::batches::{DecodePath, decode_float_chunks, decode_float_chunks_by};
pub use crate::checksum::{crc32c, crc32c_append};
pub use crate::chunk::{ChunkMeta, ChunkRef, EncodedChunk};
pub use crate::count::sample_count;
pub use crate::decode::{
    decode_chunks, decode_exact, decode_floats, decode_floats_with_starts, decode_histograms, decode_samples,
};
pub use crate::encoding::Encoding;
pub use crate::error::{ChunkError, ErrorKind};
pub use crate::histogram::{
    Bucket, CUSTOM_BUCKETS_SCHEMA, Combined, CounterResetHint, FloatHistogram, Histogram, HistogramError,
    Keep, SCHEMA_MAX, SCHEMA_MIN, Span, is_known_schema, is_valid_schema, kahan_add,
};
pub use crate::histogram_batch::{HistogramBatch, HistogramRow};
pub use crate::histogram_chunk::{
    CounterResetHeader, Encoder, FloatHistogramEncoder, HistogramEncoder, HistogramKind, HistogramLayout,
};
pub use crate::reader::{Reader, put_uvarint, put_varint, unzigzag, uvarint_len, zigzag};
pub use crate::sample::{Sample, SampleValue, canonical_bytes};
pub use crate::segment::{
    ChunkRecord, Placement, RecordSlice, SEGMENT_BYTES_MAX, SEGMENT_HEADER, SEGMENT_HEADER_BYTES,
    SegmentCutter, SegmentReader, put_record,
};
pub use crate::time::{TimeRange, Timestamp};
pub use crate::xor::XorEncoder;
pub use crate::xor2::Xor2Encoder;
