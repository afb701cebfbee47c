//! Any bytes as a segment file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::chunks::open_segment(data));
