//! Compaction, downsampling and retention over a bucket.
