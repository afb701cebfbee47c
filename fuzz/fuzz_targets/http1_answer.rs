//! Any bytes as an answer of HTTP/1.1.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::http1::read_answer(data));
