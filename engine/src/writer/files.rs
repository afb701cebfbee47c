//! The destination of the files of a block under construction: a directory, or an implementation of the caller.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use crate::BlockError;
use crate::publish::sync_dir;

/// Receives the files of one block. Besides `index`, one segment is open at a time.
pub trait BlockFiles: Send {
    /// Opens the file of this name inside the block: `index`, or `chunks/000001` and so on.
    fn create(&mut self, name: &str) -> io::Result<Box<dyn BlockSink>>;
}

impl BlockFiles for &mut dyn BlockFiles {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn BlockSink>> {
        (**self).create(name)
    }
}

/// A file that is written from front to back, in pieces of about a MiB. If dropped before [`BlockSink::finish`], it
/// leaves no file behind.
pub trait BlockSink: Write + Send {
    /// Completes the file, which can be read then. It is durable too, unless the implementation says when it will be.
    fn finish(self: Box<Self>) -> io::Result<()>;
}

/// The files of a directory, in which `chunks/` exists.
#[derive(Debug)]
pub(super) struct Directory(pub(super) PathBuf);

impl BlockFiles for Directory {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn BlockSink>> {
        Ok(Box::new(File::create_new(self.0.join(name))?))
    }
}

impl BlockSink for File {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.sync_all()
    }
}

impl Directory {
    /// Makes the names of the segments durable.
    pub(super) fn sync(&self) -> Result<(), BlockError> {
        sync_dir(&self.0.join("chunks"))
    }
}

const BUFFER_BYTES: usize = 1 << 20;

/// A buffered sink with its name.
pub(super) struct NamedSink {
    name: String,
    out: BufWriter<Box<dyn BlockSink>>,
}

impl fmt::Debug for NamedSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("NamedSink").field(&self.name).finish()
    }
}

impl NamedSink {
    pub(super) fn create(files: &mut dyn BlockFiles, name: &str) -> Result<NamedSink, BlockError> {
        let sink = files.create(name).map_err(BlockError::io(name))?;
        Ok(NamedSink { name: name.to_owned(), out: BufWriter::with_capacity(BUFFER_BYTES, sink) })
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), BlockError> {
        self.out.write_all(bytes).map_err(|source| BlockError::Io { path: self.name.clone().into(), source })
    }

    pub(super) fn finish(self) -> Result<(), BlockError> {
        let finished = self.out.into_inner().map_err(|e| e.into_error()).and_then(|sink| sink.finish());
        finished.map_err(BlockError::io(self.name))
    }
}

impl Write for NamedSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
