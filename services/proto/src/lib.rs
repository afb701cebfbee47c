//! Thanos and Prometheus wire messages, generated from `proto/*.proto` and committed, and conversions to our own types.
//!
//! Strings that users named (label names and values) are bytes here, because Go does not check that they are UTF-8.

mod convert;
mod frame;
mod wire;

pub use crate::convert::{
    ConvertError, Hint, aggr_chunk, check_aggregates, chunk_from_wire, chunk_to_wire, encoding_from_wire,
    encoding_to_wire, hint_from_any, hint_to_any, label_set, labels_from_wire, labels_to_wire,
    matcher_from_wire, matcher_to_wire, matchers_from_wire, series_to_wire, shard_from_wire, shard_to_wire,
};
pub use crate::frame::{SeriesCodec, SeriesFrame, append_series};
pub use crate::wire::{FILE_DESCRIPTOR_SET, hintspb, prometheus_copy, thanos};
