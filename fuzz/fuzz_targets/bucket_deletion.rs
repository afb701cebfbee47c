//! Any bytes as a request to delete series.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::deletion::parse_request(data));
