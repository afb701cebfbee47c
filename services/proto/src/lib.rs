//! Thanos and Prometheus wire messages, generated from `proto/*.proto` and committed, and conversions to our own types.
//!
//! Strings that users named (label names and values) are bytes here, because Go does not check that they are UTF-8.

mod convert;
mod cursor;
mod frame;
mod json;
mod outside;
mod received;
mod streamed;
mod wire;

pub use crate::convert::{
    ConvertError, Hint, Points, SampledSeries, WriteVersion, WrittenValue, aggr_chunk, aggr_chunk_from_wire,
    check_aggregates, encoding_from_wire, encoding_to_wire, hint_from_any, hint_to_any, joined_write_request,
    label_names_request_from_wire, label_names_request_to_wire, label_set, label_values_request_from_wire,
    label_values_request_to_wire, labels_from_wire, labels_to_wire, matcher_to_wire, matchers_from_wire,
    part_row_from_wire, part_row_to_wire, points_from_wire, points_to_wire, read_request, sampled_series,
    series_from_wire, series_request_from_wire, series_request_to_wire, series_to_wire, shard_from_wire,
    shard_to_wire, write_request,
};
pub use crate::frame::{SeriesFrame, SeriesWriter};
pub use crate::json::JsonLabels;
pub use crate::outside::{RawCodec, with_causes};
pub use crate::received::ReceivedFrame;
pub use crate::streamed::StreamReader;
pub use crate::wire::{FILE_DESCRIPTOR_SET, hintspb, prometheus_copy, thanos, tithon};
