//! Any bytes as a Parquet file to be imported.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::parquet::read_file(data));
