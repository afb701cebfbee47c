//! How records are packed.

use std::io::Read;

use crate::WalDamage;

/// How the records of a log are packed. Whatever this says, all kinds are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// Snappy's block format.
    #[default]
    Snappy,
}

/// The header's bit of a snappy record.
pub(super) const SNAPPY: u8 = 1 << 3;
/// The header's bit of a zstd record.
pub(super) const ZSTD: u8 = 1 << 4;

/// Snappy makes at most 64 bytes of three.
const SNAPPY_RATIO_MAX: usize = 24;
/// Longer records are not unpacked, bytes.
const RECORD_BYTES_MAX: u64 = 1 << 30;
/// The largest window that a zstd record may ask memory for: 16 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;

/// The packed form of a record and its header bits; the record itself when packing does not make it shorter.
pub(super) fn pack<'a>(
    compression: Compression,
    record: &'a [u8],
    packed: &'a mut Vec<u8>,
) -> (&'a [u8], u8) {
    if compression == Compression::None || record.is_empty() {
        return (record, 0);
    }
    packed.resize(snap::raw::max_compress_len(record.len()), 0);
    match snap::raw::Encoder::new().compress(record, packed) {
        Ok(len) if len < record.len() => (&packed[..len], SNAPPY),
        // Too long for snappy, or not made shorter.
        _ => (record, 0),
    }
}

/// Unpacks a record into `out`.
pub(super) fn unpack(bits: u8, packed: &[u8], out: &mut Vec<u8>) -> Result<(), WalDamage> {
    out.clear();
    if bits == SNAPPY {
        unpack_snappy(packed, out)
    } else {
        unpack_zstd(packed, out).map_err(|error| WalDamage::Packed(error.to_string()))
    }
}

fn unpack_snappy(packed: &[u8], out: &mut Vec<u8>) -> Result<(), WalDamage> {
    let failed = |error: snap::Error| WalDamage::Packed(error.to_string());
    let len = snap::raw::decompress_len(packed).map_err(failed)?;
    if len > packed.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(WalDamage::Packed(format!("{} bytes claim to be {len} bytes", packed.len())));
    }
    out.resize(len, 0);
    let len = snap::raw::Decoder::new().decompress(packed, out).map_err(failed)?;
    out.truncate(len);
    Ok(())
}

fn unpack_zstd(packed: &[u8], out: &mut Vec<u8>) -> std::io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    decoder.take(RECORD_BYTES_MAX).read_to_end(out).map(drop)
}
