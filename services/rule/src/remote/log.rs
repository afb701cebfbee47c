//! A queue of records in numbered files. A record is its length and checksum (CRC-32C), both `u32` little-endian, and its bytes.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::{Position, RemoteError};

/// A segment is ended when it is longer than this, bytes.
const SEGMENT_BYTES: u64 = 16 << 20;
/// More segments are not kept.
pub(super) const SEGMENTS_MAX: usize = 64;
/// Records are no longer than this, bytes.
pub(super) const RECORD_BYTES_MAX: usize = 64 << 20;
const HEADER_BYTES: usize = 8;

/// A file of the queue.
pub(super) struct Segment {
    pub(super) number: u64,
    path: PathBuf,
}

fn at<'p>(path: &'p Path) -> impl Fn(std::io::Error) -> RemoteError + 'p {
    |source| RemoteError::Disk { path: path.to_owned(), source }
}

impl Segment {
    fn new(dir: &Path, number: u64) -> Segment {
        Segment { number, path: dir.join(format!("{number:08}.log")) }
    }

    /// All segments of a folder, the oldest first.
    pub(super) fn all(dir: &Path) -> Result<Vec<Segment>, RemoteError> {
        let mut segments = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(at(dir))? {
            let path = entry.map_err(at(dir))?.path();
            let number = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".log")?.parse().ok());
            segments.extend(number.map(|number| Segment { number, path }));
        }
        segments.sort_by_key(|segment| segment.number);
        Ok(segments)
    }

    pub(super) fn delete(&self) -> Result<(), RemoteError> {
        std::fs::remove_file(&self.path).map_err(at(&self.path))
    }
}

/// The end of the queue, where records are appended.
pub(super) struct Log {
    dir: PathBuf,
    segment: u64,
    file: File,
    bytes: u64,
}

impl Log {
    /// Begins a new segment behind those that are there, of which the last one may end in the middle of a record, and behind number
    /// `sent`, which a server may have although it is gone.
    pub(super) fn open(dir: &Path, sent: u64) -> Result<Log, RemoteError> {
        std::fs::create_dir_all(dir).map_err(at(dir))?;
        let last = Segment::all(dir)?.last().map_or(0, |last| last.number);
        let segment = last.max(sent).saturating_add(1);
        let file = Log::create(dir, segment)?;
        Ok(Log { dir: dir.to_owned(), segment, file, bytes: 0 })
    }

    fn create(dir: &Path, segment: u64) -> Result<File, RemoteError> {
        let path = Segment::new(dir, segment).path;
        OpenOptions::new().create_new(true).append(true).open(&path).map_err(at(&path))
    }

    /// The number of the segment that is appended to.
    pub(super) fn segment(&self) -> u64 {
        self.segment
    }

    /// Appends a record. Tells whether a new segment was begun for it.
    pub(super) fn append(&mut self, record: &[u8]) -> Result<bool, RemoteError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(RemoteError::TooLong { bytes: record.len(), max: RECORD_BYTES_MAX });
        }
        let begins = self.bytes >= SEGMENT_BYTES;
        if begins {
            self.next_segment()?;
        }
        let mut bytes = Vec::with_capacity(HEADER_BYTES + record.len());
        bytes.extend_from_slice(&(record.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(record).to_le_bytes());
        bytes.extend_from_slice(record);
        let path = Segment::new(&self.dir, self.segment).path;
        if let Err(source) = self.file.write_all(&bytes) {
            // Part of the record may be there: what follows goes elsewhere.
            self.next_segment()?;
            return Err(RemoteError::Disk { path, source });
        }
        self.bytes += bytes.len() as u64;
        Ok(begins)
    }

    fn next_segment(&mut self) -> Result<(), RemoteError> {
        let path = Segment::new(&self.dir, self.segment).path;
        self.file.sync_data().map_err(at(&path))?;
        self.file = Log::create(&self.dir, self.segment + 1)?;
        (self.segment, self.bytes) = (self.segment + 1, 0);
        Ok(())
    }
}

/// Records behind a position, with the position behind them.
pub(super) struct Batch {
    pub(super) records: Vec<Vec<u8>>,
    pub(super) end: Position,
}

/// Reads records from `from` on, until they have `bytes_max` bytes together or the queue ends. A segment that ends in the middle
/// of a record, or has a damaged one, is left where another follows.
pub(super) fn read(dir: &Path, from: Position, bytes_max: usize) -> Result<Batch, RemoteError> {
    let mut batch = Batch { records: Vec::new(), end: from };
    let mut bytes = 0;
    let segments = Segment::all(dir)?;
    for (i, segment) in segments.iter().enumerate().filter(|(_, segment)| segment.number >= from.segment) {
        let offset = if segment.number == batch.end.segment { batch.end.offset } else { 0 };
        batch.end = Position { segment: segment.number, offset };
        let file = File::open(&segment.path).map_err(at(&segment.path))?;
        let mut reader = BufReader::new(file);
        reader.seek(SeekFrom::Start(offset)).map_err(at(&segment.path))?;
        while bytes < bytes_max {
            match record(&mut reader).map_err(at(&segment.path))? {
                Record::Whole(record) => {
                    batch.end.offset += (HEADER_BYTES + record.len()) as u64;
                    bytes += record.len();
                    batch.records.push(record);
                }
                Record::Damaged if i + 1 < segments.len() => {
                    tracing::warn!(
                        segment = segment.number,
                        "a part of the queue on disk is damaged and left out"
                    );
                    break;
                }
                Record::Damaged | Record::None => break,
            }
        }
        if bytes >= bytes_max {
            break;
        }
    }
    Ok(batch)
}

enum Record {
    Whole(Vec<u8>),
    /// The file ends within it, or its checksum is wrong.
    Damaged,
    None,
}

fn record(reader: &mut impl Read) -> std::io::Result<Record> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    reader.by_ref().take(HEADER_BYTES as u64).read_to_end(&mut header)?;
    let [l0, l1, l2, l3, c0, c1, c2, c3] = header[..] else {
        return Ok(if header.is_empty() { Record::None } else { Record::Damaged });
    };
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    if length > RECORD_BYTES_MAX {
        return Ok(Record::Damaged);
    }
    let mut record = Vec::new();
    reader.by_ref().take(length as u64).read_to_end(&mut record)?;
    let is_whole = record.len() == length && crc32c::crc32c(&record) == u32::from_le_bytes([c0, c1, c2, c3]);
    Ok(if is_whole { Record::Whole(record) } else { Record::Damaged })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(dir: &Path, from: Position) -> Vec<Vec<u8>> {
        read(dir, from, usize::MAX).unwrap().records
    }

    #[test]
    fn records_survive_and_torn_ones_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let start = Position::default();
        let mut log = Log::open(dir.path(), 0).unwrap();
        for text in ["one", "two"] {
            log.append(text.as_bytes()).unwrap();
        }
        let batch = read(dir.path(), start, 1).unwrap();
        assert_eq!(batch.records, [b"one"]);
        assert_eq!(all(dir.path(), batch.end), [b"two"]);
        drop(log);
        let path = Segment::new(dir.path(), 1).path;
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let whole = length / 11;
            assert_eq!(all(dir.path(), start).len(), whole, "{length} bytes");
        }
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let mut log = Log::open(dir.path(), 0).unwrap();
        log.append(b"three").unwrap();
        assert_eq!(all(dir.path(), start), [b"one".to_vec(), b"three".to_vec()]);
        let mut flipped = bytes;
        flipped[9] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        assert_eq!(all(dir.path(), start), [b"three".to_vec()]);
    }
}
