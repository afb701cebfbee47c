//! Histogram appends, written and read back.
#![no_main]

libfuzzer_sys::fuzz_target!(|appends: Vec<tithon_fuzz::histograms::Append>| {
    tithon_fuzz::histograms::round_trip(&appends)
});
