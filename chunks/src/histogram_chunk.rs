//! Chunks of native histograms: integer (encodings 2, 5) and float (3, 6), the latter of each with start timestamps.
//!
//! A header of three bytes, the layout of the buckets once, then per sample the fields against those of the sample
//! before. Prometheus `tsdb/chunkenc/histogram*.go`, `float_histogram*.go`.

mod decode;
mod encode;
mod floats;
mod header;
mod ints;
mod layout;
mod rows;
mod spans;

pub(crate) use decode::{Counts, Decoder};
pub use encode::{Encoder, FloatHistogramEncoder, HistogramEncoder};
pub(crate) use floats::FloatDecoder;
pub use header::CounterResetHeader;
pub(crate) use ints::IntDecoder;
pub use layout::Layout as HistogramLayout;
pub(crate) use layout::count_buckets;
pub use rows::Kind as HistogramKind;
pub(crate) use spans::spans_of;
