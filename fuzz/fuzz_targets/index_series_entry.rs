//! Any bytes as a series entry.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::index::series_entry(data));
