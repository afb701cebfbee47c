//! Float appends, written and read back.
#![no_main]

libfuzzer_sys::fuzz_target!(|appends: Vec<tithon_fuzz::chunks::Append>| tithon_fuzz::chunks::round_trip(
    &appends
));
