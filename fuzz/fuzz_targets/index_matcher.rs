//! Any text as a pattern, any bytes as a value.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::index::matcher(data));
