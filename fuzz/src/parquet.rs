//! Parquet files that are imported: bytes in, no panic out, and what is read is in order.

use bytes::Bytes;
use tithon_index::Labels;
use tithon_parquet::{ParquetBlock, ParquetError};

/// Reads the bytes as the file of a block, with all of its series.
pub fn read_file(data: &[u8]) {
    // An error is fine; a panic is what is looked for.
    let Ok(block) = ParquetBlock::open(Bytes::copy_from_slice(data)) else { return };
    let mut last: Option<Labels> = None;
    let read = block.read(
        |labels, chunks| {
            assert!(last.as_ref().is_none_or(|last| last < labels), "series ascend");
            assert!(chunks.is_sorted_by(|a, b| a.max_time < b.min_time), "chunks do not overlap");
            last = Some(labels.clone());
            Ok::<_, ParquetError>(())
        },
        |_| {},
    );
    drop(read);
}
