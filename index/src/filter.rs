//! A filter of the label pairs of a block: says for certain that no series has a pair, in about nine bits a pair.
//!
//! A binary fuse filter with 8-bit fingerprints over hashed pairs (Graf and Lemire, 2022): about one pair in 256 that is
//! not there passes. Small enough to keep for every block, or to hand to those who ask, while headers stay closed.
//! Stored: magic (8 bytes) | seed, segment length, mask, segment count length (20, little-endian) | fingerprints | be32
//! CRC32C of all before.

use bytes::Bytes;
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::cursor::Cursor;
use crate::matcher::TextTest;
use crate::{IndexError, IndexHeader, MatchOp, Matcher};

/// Which label pairs a block may have.
#[derive(Clone, Debug)]
pub struct LabelFilter {
    file: Bytes,
}

const MAGIC: &[u8; 8] = b"tlfuse8\x01";
const DESCRIPTOR: usize = BinaryFuse8::DESCRIPTOR_LEN;
const BODY: usize = MAGIC.len() + DESCRIPTOR;
/// Sets with more members than this are not asked for one by one.
const SET_MAX: usize = 256;

impl LabelFilter {
    /// The filter of all pairs in a block; the same block gives the same bytes.
    pub fn build(header: &IndexHeader) -> Result<LabelFilter, IndexError> {
        let mut keys = Vec::new();
        for name in header.label_names()? {
            let seed = xxh3_64(name);
            for value in header.label_values(name)? {
                keys.push(xxh3_64_with_seed(value?.value, seed));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        let filter = BinaryFuse8::try_from(keys.as_slice()).map_err(|_| IndexError::TooLarge {
            what: "label filter",
            bytes: keys.len() as u64,
            max: 1 << 31,
        })?;
        let mut file = vec![0; BODY];
        file[..8].copy_from_slice(MAGIC);
        filter.dma_copy_descriptor_to(&mut file[8..BODY]);
        file.extend_from_slice(filter.dma_fingerprints());
        let crc = crc32c::crc32c(&file);
        file.extend_from_slice(&crc.to_be_bytes());
        Ok(LabelFilter { file: file.into() })
    }

    /// Opens a stored filter without copying it. Fails when the checksum or the sizes do not fit together.
    pub fn open(file: Bytes) -> Result<LabelFilter, IndexError> {
        let mut cursor = Cursor::new(&file, 0);
        let magic = cursor.u64_be("label filter magic")?;
        if magic != u64::from_be_bytes(*MAGIC) {
            let what = "label filter magic";
            return Err(IndexError::Invalid {
                what,
                offset: 0,
                found: magic,
                expected: "tlfuse8, version 1",
            });
        }
        let _seed = cursor.u64_be("label filter seed")?;
        let mut number = || Ok::<_, IndexError>(u32::from_le_bytes(cursor.array("label filter sizes")?));
        let (segment, mask, count) = (number()?, number()?, number()?);
        let fingerprints = cursor.left().saturating_sub(4);
        cursor.take(fingerprints, "label filter fingerprints")?;
        let expected = cursor.u32_be("label filter checksum")?;
        let got = crc32c::crc32c(&file[..BODY + fingerprints]);
        if got != expected {
            return Err(IndexError::Checksum { what: "label filter", offset: 0, got, expected });
        }
        // Every place that a hash can choose lies inside the fingerprints.
        let fits = segment.is_power_of_two()
            && mask == segment - 1
            && count.is_multiple_of(segment)
            && u64::from(count) + 2 * u64::from(segment) == fingerprints as u64;
        if !fits {
            let (what, found) = ("label filter size", fingerprints as u64);
            return Err(IndexError::Invalid { what, offset: 8, found, expected: "whole segments" });
        }
        Ok(LabelFilter { file })
    }

    /// The filter as stored.
    pub fn as_bytes(&self) -> &Bytes {
        &self.file
    }

    /// False when no series of the block has the pair; true when one has it, and once in 256 when none has.
    pub fn may_contain(&self, name: &[u8], value: &[u8]) -> bool {
        let fingerprints = &self.file[BODY..self.file.len() - 4];
        let filter = BinaryFuse8Ref::from_dma(&self.file[MAGIC.len()..BODY], fingerprints);
        filter.contains(&xxh3_64_with_seed(value, xxh3_64(name)))
    }

    /// False when no series of the block can satisfy all matchers. Only `=` and sets of values say anything.
    pub fn may_match(&self, matchers: &[Matcher]) -> bool {
        matchers.iter().all(|matcher| match (matcher.op(), matcher.pattern()) {
            (MatchOp::Equal, _) => {
                matcher.value().is_empty() || self.may_contain(matcher.name(), matcher.value())
            }
            (MatchOp::Regex, Some(TextTest::Set(set))) if set.len() <= SET_MAX => {
                set.iter().any(|value| value.is_empty() || self.may_contain(matcher.name(), value))
            }
            _ => true,
        })
    }
}
