//! The index file of a block under construction, with or without knowing all strings beforehand.
//!
//! An index begins with all its strings, ascending. If they are not known, entries are kept in a scratch file, and only
//! the strings in memory. The format of an entry there: numbers of labels and chunks, then lengths and bytes of the
//! labels, then first time, last time and reference of the chunks; numbers are 8 bytes, little-endian.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use tithon_chunks::{ChunkMeta, ChunkRef, Timestamp};
use tithon_index::{IndexWriter, Labels, SeriesRef, SymbolRef};

use super::files::{BlockFiles, NamedSink};
use crate::{BlockError, BlockId, IndexStats};

const BUFFER_BYTES: usize = 1 << 20;

/// The index of a block under construction.
#[derive(Debug)]
pub(super) struct IndexFile {
    id: BlockId,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Direct(Box<Direct>),
    Spooled(Spool),
}

#[derive(Debug)]
struct Direct {
    writer: IndexWriter<NamedSink>,
    measure: Measure,
}

#[derive(Debug)]
struct Spool {
    path: PathBuf,
    file: BufWriter<File>,
    symbols: BTreeSet<Box<[u8]>>,
    series: u64,
    last: Option<Labels>,
}

impl IndexFile {
    /// Writes entries directly; `symbols` ascend.
    pub(super) fn direct<'s>(
        files: &mut dyn BlockFiles,
        id: BlockId,
        symbols: impl IntoIterator<Item = &'s [u8]>,
    ) -> Result<IndexFile, BlockError> {
        let direct = Direct::start(files, id, symbols)?;
        Ok(IndexFile { id, form: Form::Direct(Box::new(direct)) })
    }

    /// Keeps entries in a file in `dir` until all strings are known.
    pub(super) fn spooled(dir: &Path, id: BlockId) -> Result<IndexFile, BlockError> {
        let path = dir.join("index.entries.tmp");
        let file = File::create_new(&path).map_err(BlockError::io(&path))?;
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let spool = Spool { path, file, symbols: BTreeSet::new(), series: 0, last: None };
        Ok(IndexFile { id, form: Form::Spooled(spool) })
    }

    /// Adds a series, which comes after all before it.
    pub(super) fn add(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), BlockError> {
        match &mut self.form {
            Form::Direct(direct) => direct.add(self.id, labels, chunks),
            Form::Spooled(spool) => spool.add(self.id, labels, chunks),
        }
    }

    /// Like [`IndexFile::add`], for an index whose strings are known.
    pub(super) fn add_symbols(
        &mut self,
        labels: &[(SymbolRef, SymbolRef)],
        chunks: &[ChunkMeta],
    ) -> Result<(), BlockError> {
        let Form::Direct(direct) = &mut self.form else {
            unreachable!("numbers are of symbols given at the start")
        };
        let series = direct.writer.add_series_symbols(labels, chunks).map_err(BlockError::index(self.id))?;
        direct.measure.series(series, chunks);
        Ok(())
    }

    /// Writes the remaining parts and makes the file durable.
    pub(super) fn finish(self, files: &mut dyn BlockFiles) -> Result<IndexStats, BlockError> {
        let direct = match self.form {
            Form::Direct(direct) => *direct,
            Form::Spooled(spool) => spool.replay(files, self.id)?,
        };
        let (file, _) = direct.writer.finish().map_err(BlockError::index(self.id))?;
        file.finish()?;
        Ok(direct.measure.stats)
    }
}

impl Direct {
    fn start<'s>(
        files: &mut dyn BlockFiles,
        id: BlockId,
        symbols: impl IntoIterator<Item = &'s [u8]>,
    ) -> Result<Direct, BlockError> {
        let mut writer =
            IndexWriter::new(NamedSink::create(files, "index")?).map_err(BlockError::index(id))?;
        for symbol in symbols {
            writer.add_symbol(symbol).map_err(BlockError::index(id))?;
        }
        Ok(Direct { writer, measure: Measure::default() })
    }

    fn add(&mut self, id: BlockId, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), BlockError> {
        let series = self.writer.add_series(labels, chunks).map_err(BlockError::index(id))?;
        self.measure.series(series, chunks);
        Ok(())
    }
}

impl Spool {
    fn add(&mut self, id: BlockId, labels: &Labels, chunks: &[ChunkMeta]) -> Result<(), BlockError> {
        if let Some(last) = self.last.as_ref().filter(|last| *last >= labels) {
            let what = format!("series {labels} comes after {last}");
            return Err(BlockError::Order { block: id, what });
        }
        self.last = Some(labels.clone());
        self.series += 1;
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            if !self.symbols.contains(text) {
                self.symbols.insert(text.into());
            }
        }
        self.write(labels, chunks).map_err(BlockError::io(&self.path))
    }

    fn write(&mut self, labels: &Labels, chunks: &[ChunkMeta]) -> std::io::Result<()> {
        let mut number = |n: u64| self.file.write_all(&n.to_le_bytes());
        number(labels.len() as u64)?;
        number(chunks.len() as u64)?;
        for chunk in chunks {
            number(chunk.min_time.0 as u64)?;
            number(chunk.max_time.0 as u64)?;
            number(chunk.chunk_ref.0)?;
        }
        for text in labels.iter().flat_map(|(name, value)| [name, value]) {
            self.file.write_all(&(text.len() as u64).to_le_bytes())?;
            self.file.write_all(text)?;
        }
        Ok(())
    }

    /// Writes the index from the entries in the scratch file, and removes that file.
    fn replay(self, files: &mut dyn BlockFiles, id: BlockId) -> Result<Direct, BlockError> {
        let io = || BlockError::io(&self.path);
        drop(self.file.into_inner().map_err(|e| io()(e.into_error()))?);
        let file = File::open(&self.path).map_err(io())?;
        let mut entries = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut direct = Direct::start(files, id, self.symbols.iter().map(AsRef::as_ref))?;
        let mut chunks = Vec::new();
        for _ in 0..self.series {
            let labels = read_entry(&mut entries, &mut chunks).map_err(io())?;
            direct.add(id, &labels, &chunks)?;
        }
        std::fs::remove_file(&self.path).map_err(io())?;
        Ok(direct)
    }
}

/// Reads an entry that [`Spool::write`] wrote.
fn read_entry(entries: &mut impl Read, chunks: &mut Vec<ChunkMeta>) -> std::io::Result<Labels> {
    let number = |entries: &mut dyn Read| {
        let mut bytes = [0; 8];
        entries.read_exact(&mut bytes)?;
        std::io::Result::Ok(u64::from_le_bytes(bytes))
    };
    let (n_labels, n_chunks) = (number(entries)?, number(entries)?);
    chunks.clear();
    for _ in 0..n_chunks {
        chunks.push(ChunkMeta {
            min_time: Timestamp(number(entries)? as i64),
            max_time: Timestamp(number(entries)? as i64),
            chunk_ref: ChunkRef(number(entries)?),
        });
    }
    let mut texts = Vec::with_capacity(2 * n_labels as usize);
    for _ in 0..2 * n_labels {
        let mut text = vec![0; number(entries)? as usize];
        entries.read_exact(&mut text)?;
        texts.push(text);
    }
    Ok(Labels::from_sorted(texts.chunks_exact(2).map(|pair| (pair[0].as_slice(), pair[1].as_slice()))))
}

/// The sizes that Thanos estimates for meta.json: distances between neighbouring entries and chunks.
#[derive(Debug, Default)]
struct Measure {
    stats: IndexStats,
    last: Option<SeriesRef>,
}

impl Measure {
    /// Measures the distance to the series before. The last series is not measured, nor are the last two chunks of a
    /// series.
    fn series(&mut self, series: SeriesRef, chunks: &[ChunkMeta]) {
        if let Some(last) = self.last.replace(series) {
            let size = i64::from(series.0 - last.0) * 16;
            self.stats.series_max_size = self.stats.series_max_size.max(size);
        }
        for pair in chunks[..chunks.len().saturating_sub(1)].windows(2) {
            let (a, b) = (pair[0].chunk_ref, pair[1].chunk_ref);
            if a.segment() == b.segment() {
                let size = i64::from(b.offset()) - i64::from(a.offset());
                self.stats.chunk_max_size = self.stats.chunk_max_size.max(size);
            }
        }
    }
}
