//! Any bytes as PromQL.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::promql::parse_bytes(data));
