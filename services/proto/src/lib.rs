//! Thanos and Prometheus wire messages, generated from `proto/*.proto` and committed, and conversions to our own types.
//!
//! Strings that users named (label names and values) are bytes here, because Go does not check that they are UTF-8.

mod wire;

pub use crate::wire::{FILE_DESCRIPTOR_SET, hintspb, prometheus_copy, thanos};
