//! Any bytes as an index.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::index::index_open(data));
