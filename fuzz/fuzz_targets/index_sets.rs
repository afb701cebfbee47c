//! Set operations against `BTreeSet`.
#![no_main]

libfuzzer_sys::fuzz_target!(|sets: tithon_fuzz::index::TwoSets| tithon_fuzz::index::set_operations(&sets));
