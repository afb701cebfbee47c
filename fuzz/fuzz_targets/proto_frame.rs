//! Any bytes as a frame of a `Series` answer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::frame::read_frame(data));
