//! Any bytes as a record of a write-ahead log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tithon_fuzz::head::wal_record(data));
