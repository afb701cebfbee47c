//! Queries out of the grammar over made-up series, evaluated three ways.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = tithon_fuzz::evaluate::evaluate(data);
});
