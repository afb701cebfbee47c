//! Any bytes as a template of an alert.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::template::expand_bytes(data));
