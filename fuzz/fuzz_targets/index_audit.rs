//! Any bytes as an index that is accounted for.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::index::index_audit(data));
