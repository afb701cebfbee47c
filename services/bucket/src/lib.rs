//! Blocks in object storage: list, fetch ranges, cache, upload, mark.
