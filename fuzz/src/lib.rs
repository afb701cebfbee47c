//! Fuzz target bodies as plain functions, replayed by ordinary tests over `corpus/`.
//!
//! With a nightly compiler: `cargo +nightly fuzz run chunks_decode --features libfuzzer`.

pub mod chunks;
pub mod deletion;
pub mod evaluate;
pub mod frame;
pub mod head;
pub mod histograms;
pub mod http1;
pub mod index;
pub mod parquet;
pub mod promql;
pub mod template;
