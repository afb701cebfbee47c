//! Any bytes as an index-header or a label filter.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::index::index_header(data));
