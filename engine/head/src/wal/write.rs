//! Appends records to a log.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::files::{remove, segment_path, sync_dir};
use super::fragment::{fits, put_record};
use super::packing::pack;
use super::{Compression, Files, PAGE};
use crate::WalError;

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalOptions {
    /// How records are packed.
    pub compression: Compression,
    /// The most bytes of a segment, unless one record has more; pages are whole.
    pub segment_bytes: u64,
}

impl Default for WalOptions {
    fn default() -> WalOptions {
        WalOptions { compression: Compression::default(), segment_bytes: 128 << 20 }
    }
}

/// The end of a log, where records are appended.
#[derive(Debug)]
pub(crate) struct Wal {
    dir: PathBuf,
    options: WalOptions,
    number: u64,
    file: File,
    /// Bytes of the open segment, which end behind a whole record.
    len: u64,
    /// A failed write left bytes that could not be cut off.
    is_broken: bool,
    buffer: Vec<u8>,
    packed: Vec<u8>,
}

impl Wal {
    /// Begins segment `number` in a folder.
    pub(crate) fn create(dir: &Path, number: u64, options: WalOptions) -> Result<Wal, WalError> {
        fs::create_dir_all(dir).map_err(WalError::io(dir))?;
        let file = create_segment(dir, number)?;
        Ok(Wal {
            dir: dir.to_owned(),
            options,
            number,
            file,
            len: 0,
            is_broken: false,
            buffer: Vec::new(),
            packed: Vec::new(),
        })
    }

    /// The number of the open segment.
    pub(crate) fn segment(&self) -> u64 {
        self.number
    }

    /// The folder.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Appends records. When this comes back they are written, though not synced. When it fails none of them counts: the log ends
    /// where it did before, in the same segment.
    pub(crate) fn log<'r>(&mut self, records: impl IntoIterator<Item = &'r [u8]>) -> Result<(), WalError> {
        if self.is_broken {
            return Err(WalError::Broken { path: segment_path(&self.dir, self.number) });
        }
        let end = (self.number, self.len);
        self.buffer.clear();
        let mut packed = std::mem::take(&mut self.packed);
        let logged = records.into_iter().try_for_each(|record| {
            let (bytes, bits) = pack(self.options.compression, record, &mut packed);
            let at = self.len + self.buffer.len() as u64;
            if at > 0 && !fits(at, bytes.len(), self.options.segment_bytes) {
                self.write_buffer()?;
                self.next_segment()?;
            }
            let at = self.len + self.buffer.len() as u64;
            put_record(bytes, bits, at, &mut self.buffer);
            Ok(())
        });
        self.packed = packed;
        let written = logged.and_then(|()| self.write_buffer());
        if written.is_err() {
            self.is_broken = self.cut_back(end).is_err();
        }
        written
    }

    fn write_buffer(&mut self) -> Result<(), WalError> {
        let path = || segment_path(&self.dir, self.number);
        self.file.write_all(&self.buffer).map_err(|source| WalError::Io { path: path(), source })?;
        self.len += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the log at `len` bytes of segment `number` again.
    fn cut_back(&mut self, (number, len): (u64, u64)) -> Result<(), WalError> {
        let path = segment_path(&self.dir, number);
        if number != self.number {
            // From the end, so that a kill on the way leaves no gap.
            for later in (number + 1..=self.number).rev() {
                remove(&segment_path(&self.dir, later))?;
            }
            sync_dir(&self.dir)?;
            self.file = OpenOptions::new().append(true).open(&path).map_err(WalError::io(&path))?;
        }
        self.file.set_len(len).map_err(WalError::io(&path))?;
        (self.number, self.len) = (number, len);
        Ok(())
    }

    /// Completes the open segment, syncs it and begins the next one; gives the number of that.
    pub(crate) fn next_segment(&mut self) -> Result<u64, WalError> {
        let path = segment_path(&self.dir, self.number);
        let page = PAGE as u64;
        // Other readers expect whole pages of all segments but the last one.
        let whole = self.len.div_ceil(page) * page;
        self.file.set_len(whole).map_err(WalError::io(&path))?;
        self.len = whole;
        self.file.sync_all().map_err(WalError::io(&path))?;
        self.file = create_segment(&self.dir, self.number + 1)?;
        (self.number, self.len) = (self.number + 1, 0);
        Ok(self.number)
    }

    /// Ends the log with whole pages, all of it durable.
    pub(super) fn finish(self) -> Result<(), WalError> {
        let path = segment_path(&self.dir, self.number);
        let page = PAGE as u64;
        let whole = self.file.set_len(self.len.div_ceil(page) * page);
        whole.and_then(|()| self.file.sync_all()).map_err(WalError::io(&path))
    }

    /// Makes all that is written durable.
    pub(crate) fn sync(&self) -> Result<(), WalError> {
        let path = segment_path(&self.dir, self.number);
        self.file.sync_data().map_err(WalError::io(&path))
    }
}

fn create_segment(dir: &Path, number: u64) -> Result<File, WalError> {
    let path = segment_path(dir, number);
    let file = OpenOptions::new().create_new(true).append(true).open(&path).map_err(WalError::io(&path))?;
    if let Err(error) = sync_dir(dir) {
        // The next attempt begins the segment anew.
        remove(&path)?;
        return Err(error);
    }
    Ok(file)
}

/// Cuts a damaged segment behind its last good record and removes the segments after it. Prometheus `WL.Repair`.
pub(crate) fn repair(dir: &Path, damaged: &Path, good: u64) -> Result<(), WalError> {
    let files = Files::of(dir)?;
    // From the end, so that a kill on the way leaves no gap.
    for (_, path) in files.segments.iter().rev().take_while(|(_, path)| path != damaged) {
        remove(path)?;
    }
    sync_dir(dir)?;
    let file = OpenOptions::new().write(true).open(damaged).map_err(WalError::io(damaged))?;
    file.set_len(good).and_then(|()| file.sync_all()).map_err(WalError::io(damaged))
}
