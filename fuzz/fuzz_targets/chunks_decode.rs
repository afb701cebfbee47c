//! Any bytes as a chunk of any encoding.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::chunks::decode_chunk(data));
