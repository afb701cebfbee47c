//! Reads the records of a segment.

use std::fs::File;
use std::io;
use std::path::Path;

use tithon_chunks::crc32c;

use super::fragment::{FIRST, FULL, LAST, MIDDLE, TYPE};
use super::packing::{SNAPPY, ZSTD, unpack};
use super::{HEADER, PAGE};
use crate::record::Record;
use crate::{WalDamage, WalError};

/// Reads records one after the other. A page that the file ends in counts as filled up with zeros.
pub struct SegmentReader<R> {
    input: R,
    page: Box<[u8]>,
    /// Where the next fragment begins in the page; its end before the first page is read.
    at: usize,
    /// Pages read so far.
    n_pages: u64,
    /// Bytes of the last page that the file has.
    filled: usize,
    /// Where the last whole record ends.
    good: u64,
    record: Vec<u8>,
    unpacked: Vec<u8>,
}

/// Why there is no next record.
#[derive(Debug)]
pub enum ReadFailure {
    /// The file cannot be read.
    Io(io::Error),
    /// Its bytes are damaged.
    Damage(WalDamage),
}

impl From<WalDamage> for ReadFailure {
    fn from(damage: WalDamage) -> ReadFailure {
        ReadFailure::Damage(damage)
    }
}

/// A fragment in the page.
struct Fragment {
    header: u8,
    start: usize,
    end: usize,
}

impl<R: io::Read> SegmentReader<R> {
    /// A reader at the beginning of a segment.
    pub fn new(input: R) -> SegmentReader<R> {
        SegmentReader {
            input,
            page: vec![0; PAGE].into(),
            at: PAGE,
            n_pages: 0,
            filled: PAGE,
            good: 0,
            record: Vec::new(),
            unpacked: Vec::new(),
        }
    }

    /// Where the last whole record ends, in bytes from the start of the segment.
    pub fn offset(&self) -> u64 {
        self.good
    }

    /// The next record, unpacked; `None` at the end. To be called no more after a failure.
    pub fn next_record(&mut self) -> Result<Option<&[u8]>, ReadFailure> {
        self.record.clear();
        let mut is_inside = false;
        loop {
            let Some(fragment) = self.next_fragment()? else {
                return if is_inside { Err(WalDamage::Torn.into()) } else { Ok(None) };
            };
            let kind = fragment.header & TYPE;
            let follows =
                if is_inside { matches!(kind, MIDDLE | LAST) } else { matches!(kind, FULL | FIRST) };
            if !follows {
                let expected = if is_inside { "middle or last" } else { "full or first" };
                return Err(WalDamage::Sequence { found: kind, expected }.into());
            }
            self.record.extend_from_slice(&self.page[fragment.start..fragment.end]);
            is_inside = true;
            if matches!(kind, FULL | LAST) {
                return self.finish_record(fragment.header & !TYPE).map(Some);
            }
        }
    }

    fn finish_record(&mut self, bits: u8) -> Result<&[u8], ReadFailure> {
        let record = match bits {
            0 => &self.record,
            bits => {
                unpack(bits, &self.record, &mut self.unpacked)?;
                &self.unpacked
            }
        };
        // Of a page that is filled up only the bytes of the file count.
        self.good = (self.n_pages - 1) * PAGE as u64 + self.at.min(self.filled) as u64;
        Ok(record)
    }

    /// The next fragment, its checksum verified; `None` at the end of the segment.
    fn next_fragment(&mut self) -> Result<Option<Fragment>, ReadFailure> {
        loop {
            if self.at == PAGE && !self.next_page()? {
                return Ok(None);
            }
            let rest = &self.page[self.at..];
            let header = rest[0];
            if header == 0 {
                if rest.iter().any(|byte| *byte != 0) {
                    return Err(WalDamage::Padding.into());
                }
                self.at = PAGE;
                continue;
            }
            let (kind, bits) = (header & TYPE, header & !TYPE);
            if !(FULL..=LAST).contains(&kind) || !matches!(bits, 0 | SNAPPY | ZSTD) {
                return Err(WalDamage::Header(header).into());
            }
            let Some(&[_, l0, l1, c0, c1, c2, c3]) = rest.first_chunk::<HEADER>() else {
                return Err(WalDamage::Length { len: 0, left: rest.len() }.into());
            };
            let (len, left) = (usize::from(u16::from_be_bytes([l0, l1])), rest.len() - HEADER);
            if len > left {
                return Err(WalDamage::Length { len, left }.into());
            }
            let start = self.at + HEADER;
            let (got, expected) =
                (crc32c(&self.page[start..start + len]), u32::from_be_bytes([c0, c1, c2, c3]));
            if got != expected {
                return Err(WalDamage::Checksum { got, expected }.into());
            }
            self.at = start + len;
            return Ok(Some(Fragment { header, start, end: self.at }));
        }
    }

    /// Reads a page; `false` at the end of the file.
    fn next_page(&mut self) -> Result<bool, ReadFailure> {
        self.filled = 0;
        while self.filled < PAGE {
            match self.input.read(&mut self.page[self.filled..]) {
                Ok(0) => break,
                Ok(n) => self.filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadFailure::Io(error)),
            }
        }
        self.page[self.filled..].fill(0);
        if self.filled == 0 {
            return Ok(false);
        }
        (self.at, self.n_pages) = (0, self.n_pages + 1);
        Ok(true)
    }
}

/// Hands all records of a segment to `each`. A record whose content makes no sense is damage like a wrong checksum.
pub(crate) fn read_segment(
    path: &Path,
    mut each: impl FnMut(Record) -> Result<(), WalError>,
) -> Result<(), WalError> {
    let file = File::open(path).map_err(WalError::io(path))?;
    let mut reader = SegmentReader::new(file);
    loop {
        let offset = reader.offset();
        let corrupt = |damage| WalError::Corrupt { path: path.to_owned(), offset, damage };
        let bytes = match reader.next_record() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(()),
            Err(ReadFailure::Io(source)) => return Err(WalError::Io { path: path.to_owned(), source }),
            Err(ReadFailure::Damage(damage)) => return Err(corrupt(damage)),
        };
        each(Record::decode(bytes).map_err(corrupt)?)?;
    }
}
