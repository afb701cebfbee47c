//! The catalogue's snapshot: a file that keeps what is known of the blocks, so that a start reads only what has changed
//! since.
//!
//! JSON lines: the format and the bucket, one line per block, and last the number of blocks and a checksum (xxh3) of
//! all lines before. The file is replaced by renaming a temporary file. A snapshot that is damaged, of another version
//! or of another bucket is ignored.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tithon_engine::{BlockId, BlockMeta};
use xxhash_rust::xxh3::Xxh3;

use crate::MarkKind;
use crate::known_block::KnownBlock;
use crate::listing::{BlockObjects, Listed, Stamp};
use crate::marks::MarkFile;

const FORMAT: &str = "tithon-catalogue";
const VERSION: u32 = 1;

/// The first line: format, version and origin of the snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    format: String,
    version: u32,
    /// The bucket's name in metrics.
    bucket: String,
    /// File names of the marks that the catalogue follows.
    marks: Vec<String>,
}

impl Origin {
    pub(crate) fn new(bucket: &str, kinds: &[MarkKind]) -> Origin {
        let marks = kinds.iter().map(|kind| kind.file().to_owned()).collect();
        Origin { format: FORMAT.to_owned(), version: VERSION, bucket: bucket.to_owned(), marks }
    }
}

/// The line of a block. `M` and `O` are the types of meta and objects, references when writing.
#[derive(Serialize, Deserialize)]
struct Line<M, O> {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    folder: Option<Stamp>,
    meta_stamp: Option<Stamp>,
    mark_stamps: [Option<Stamp>; MarkKind::ALL.len()],
    marks: [Option<MarkFile>; MarkKind::ALL.len()],
    #[serde(skip_serializing_if = "Option::is_none", default = "Option::default")]
    objects: Option<O>,
    meta: M,
}

/// The last line: number of blocks and checksum.
#[derive(Serialize, Deserialize)]
struct End {
    blocks: usize,
    checksum: u64,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {line}: {source}")]
    Json { line: usize, source: serde_json::Error },
    #[error("snapshot of {found:?}, expected {expected:?}")]
    Foreign { found: Box<Origin>, expected: Box<Origin> },
    #[error("checksum is {found:#x} over {blocks} blocks, expected {expected:#x}")]
    Checksum { found: u64, expected: u64, blocks: usize },
}

/// Reads the blocks of a snapshot; `None` when there is no file.
pub(crate) fn read(
    path: &Path,
    origin: &Origin,
) -> Result<Option<BTreeMap<BlockId, KnownBlock>>, SnapshotError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut lines = Lines { file: BufReader::with_capacity(1 << 18, file), line: Vec::new(), number: 0 };
    let (mut hash, mut blocks) = (Xxh3::new(), BTreeMap::new());
    let found: Origin = lines.next()?;
    if found != *origin {
        return Err(SnapshotError::Foreign { found: found.into(), expected: origin.clone().into() });
    }
    hash.update(&lines.line);
    loop {
        if !lines.advance()? {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        if lines.line.starts_with(br#"{"blocks":"#) {
            let (end, found): (End, _) = (lines.parse()?, hash.digest());
            if (end.checksum, end.blocks) != (found, blocks.len()) {
                let (expected, blocks) = (end.checksum, blocks.len());
                return Err(SnapshotError::Checksum { found, expected, blocks });
            }
            return Ok(Some(blocks));
        }
        hash.update(&lines.line);
        let block = known(lines.parse()?);
        blocks.insert(block.meta.ulid, block);
    }
}

/// Replaces the snapshot.
pub(crate) fn write(
    path: &Path,
    origin: &Origin,
    blocks: &BTreeMap<BlockId, KnownBlock>,
) -> Result<(), SnapshotError> {
    let beside = path.with_extension("tmp");
    let mut file = BufWriter::with_capacity(1 << 18, File::create(&beside)?);
    let (mut hash, mut line) = (Xxh3::new(), Vec::new());
    let mut put = |line: &mut Vec<u8>, number: usize, result: serde_json::Result<()>| {
        result.map_err(|source| SnapshotError::Json { line: number, source })?;
        line.push(b'\n');
        file.write_all(line)?;
        hash.update(line);
        line.clear();
        Ok::<u64, SnapshotError>(hash.digest())
    };
    let result = serde_json::to_writer(&mut line, origin);
    let mut checksum = put(&mut line, 1, result)?;
    for (number, block) in (2..).zip(blocks.values()) {
        let result = serde_json::to_writer(&mut line, &line_of(block));
        checksum = put(&mut line, number, result)?;
    }
    let end = End { blocks: blocks.len(), checksum };
    let result = serde_json::to_writer(&mut line, &end);
    put(&mut line, blocks.len() + 2, result)?;
    file.flush()?;
    fs::rename(beside, path)?;
    Ok(())
}

fn line_of(block: &KnownBlock) -> Line<&BlockMeta, &BlockObjects> {
    let Listed { folder, meta, marks, objects } = &block.listed;
    Line {
        folder: *folder,
        meta_stamp: *meta,
        mark_stamps: *marks,
        marks: block.marks.clone().map(|mark| mark.map(|mark| *mark)),
        objects: objects.as_deref(),
        meta: &block.meta,
    }
}

fn known(line: Line<BlockMeta, BlockObjects>) -> KnownBlock {
    let objects = line.objects.map(Arc::new);
    let listed = Listed { folder: line.folder, meta: line.meta_stamp, marks: line.mark_stamps, objects };
    KnownBlock { listed, meta: Arc::new(line.meta), marks: line.marks.map(|mark| mark.map(Box::new)) }
}

struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
    number: usize,
}

impl Lines {
    /// Reads the next line; returns false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        self.line.clear();
        self.number += 1;
        Ok(self.file.read_until(b'\n', &mut self.line)? > 0)
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self) -> Result<T, SnapshotError> {
        let line = self.number;
        serde_json::from_slice(&self.line).map_err(|source| SnapshotError::Json { line, source })
    }

    fn next<T: for<'de> Deserialize<'de>>(&mut self) -> Result<T, SnapshotError> {
        self.advance()?;
        self.parse()
    }
}
