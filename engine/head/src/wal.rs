//! The write-ahead log: records in segments of pages. Prometheus `tsdb/wlog/wlog.go`.
//!
//! A segment is a file of pages of 32 KiB; a record is one fragment, or several over the borders of pages, and lies in one
//! segment. A fragment is `u8 header | be16 length | be32 CRC-32C | payload`; the header's lower three bits are its type
//! (1 full, 2 first, 3 middle, 4 last; 0 ends the page), bit 3 says snappy and bit 4 zstd, of the record as a whole.

mod checkpoint;
mod files;
mod fragment;
mod packing;
mod read;
mod write;

pub(crate) use self::checkpoint::{Keep, write_checkpoint};
pub(crate) use self::files::{Files, remove_temporaries};
pub use self::packing::Compression;
pub(crate) use self::read::read_segment;
pub use self::read::{ReadFailure, SegmentReader};
pub use self::write::WalOptions;
pub(crate) use self::write::{Wal, repair};

/// Bytes of a page.
const PAGE: usize = 32 * 1024;
/// Bytes of a fragment's header.
const HEADER: usize = 7;

#[cfg(test)]
mod tests;
