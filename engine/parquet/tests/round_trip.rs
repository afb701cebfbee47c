//! Golden blocks that go through a Parquet file and come back: as rows of chunks with the same bytes, as rows of samples with the
//! same samples.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tithon_chunks::TimeRange;
use tithon_engine::diff::diff;
use tithon_engine::verify::verify;
use tithon_engine::{Block, BlockError, BlockId, BlockWriter, SelectRequest, SelectedSeries};
use tithon_parquet::{Exported, Exporter, ParquetBlock, ParquetError, Rows};
use tithon_testdata::shared;

#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    #[error(transparent)]
    Block(#[from] BlockError),
}

/// Every golden block that can be opened.
fn golden() -> Vec<Block> {
    let folders =
        ["blocks", "bucket", "compaction/horizontal-aggr/in", "compaction/horizontal-all-encodings/in"];
    let dirs = folders.iter().flat_map(|folder| std::fs::read_dir(shared("testdata").join(folder)).unwrap());
    let mut dirs: Vec<PathBuf> = dirs.map(|entry| entry.unwrap().path()).filter(|dir| dir.is_dir()).collect();
    dirs.sort();
    let nested = dirs.iter().flat_map(|dir| {
        let within = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        within.filter(|dir| dir.join("meta.json").exists()).collect::<Vec<_>>()
    });
    let nested: Vec<PathBuf> = nested.collect();
    let all = dirs.into_iter().chain(nested).filter(|dir| dir.join("meta.json").exists());
    let blocks: Vec<Block> = all.filter_map(|dir| Block::open(dir).ok()).collect();
    assert!(blocks.len() > 12, "{}", blocks.len());
    blocks
}

fn series_of(block: &Block) -> Vec<SelectedSeries> {
    let everything = SelectRequest::new(Vec::new(), TimeRange::ALL);
    block.select(everything).flat_map(|batch| batch.unwrap().series).collect()
}

fn export(block: &Block, rows: Rows, group_bytes: usize) -> Result<(Exported, Bytes), ParquetError> {
    let names = block.header().label_names().unwrap();
    let mut exporter = Exporter::new(Vec::new(), block.meta(), &names, rows)?.group_bytes(group_bytes);
    for series in series_of(block) {
        exporter.add(&series)?;
    }
    exporter.finish().map(|(exported, bytes)| (exported, bytes.into()))
}

fn import(bytes: Bytes, parent: &Path) -> Result<Block, Failed> {
    let source = ParquetBlock::open(bytes)?;
    let (id, mut rows) = (BlockId::from_parts(1, 2), 0);
    let mut writer = BlockWriter::create(parent, id)?;
    source.read(|labels, chunks| writer.add_series(labels, chunks).map_err(Failed::from), |n| rows += n)?;
    assert_eq!(rows, source.n_rows());
    let mut meta = source.meta().unwrap().clone();
    meta.stats = writer.stats();
    meta.thanos.iter_mut().for_each(|thanos| thanos.files.clear());
    writer.finish_like(meta)?.expect("there are samples");
    Ok(Block::open(parent.join(id.to_string()))?)
}

#[test]
fn rows_of_chunks_come_back_to_the_byte() {
    for block in golden() {
        let (exported, bytes) = export(&block, Rows::Chunks, 4 << 20).unwrap();
        let before = series_of(&block);
        assert_eq!(exported.series, before.len() as u64);
        assert_eq!(exported.rows, before.iter().map(|series| series.chunks.len() as u64).sum::<u64>());
        let dir = tempfile::tempdir().unwrap();
        match import(bytes, dir.path()) {
            Ok(after) => {
                assert_eq!(series_of(&after), before, "{}", block.dir().display());
                let health = verify(&after);
                assert!(
                    health.is_sound() || !verify(&block).is_sound(),
                    "{}: {health:?}",
                    block.dir().display()
                );
            }
            // Chunks of a series that overlap, in a block of head data out of order.
            Err(Failed::Parquet(ParquetError::Order { what, .. })) => {
                let overlaps = before.iter().any(|s| !s.chunks.is_sorted_by(|a, b| a.max_time < b.min_time));
                assert!(overlaps, "{}: {what}", block.dir().display());
            }
            Err(error) => panic!("{}: {error}", block.dir().display()),
        }
    }
}

#[test]
fn rows_of_samples_come_back_sample_by_sample() {
    let mut came_back = 0;
    for block in golden() {
        let dir = tempfile::tempdir().unwrap();
        match export(&block, Rows::Samples, 4 << 20) {
            Ok((exported, bytes)) => {
                assert!(exported.rows > 0, "{exported:?}");
                let after =
                    import(bytes, dir.path()).unwrap_or_else(|e| panic!("{}: {e}", block.dir().display()));
                let differences =
                    diff(std::slice::from_ref(&block), std::slice::from_ref(&after), 5).unwrap();
                assert_eq!(differences, [], "{}", block.dir().display());
                let health = verify(&after);
                assert!(
                    health.is_sound() || !verify(&block).is_sound(),
                    "{}: {health:?}",
                    block.dir().display()
                );
                came_back += 1;
            }
            Err(ParquetError::Series { what, .. }) => {
                assert!(what.contains("--rows=chunks"), "{}: {what}", block.dir().display());
            }
            Err(error) => panic!("{}: {error}", block.dir().display()),
        }
    }
    assert!(came_back > 12, "{came_back}");
}

/// Row groups end within a series, and in the middle of labels.
#[test]
fn small_row_groups_hold_the_same() {
    let block = Block::open(shared("testdata/bucket/01HWRY2K80C42KHDS4J7F07C1X")).unwrap();
    for rows in [Rows::Chunks, Rows::Samples] {
        let (exported, bytes) = export(&block, rows, 2000).unwrap();
        assert!(exported.row_groups > 10, "{exported:?}");
        let dir = tempfile::tempdir().unwrap();
        let after = import(bytes, dir.path()).unwrap();
        assert_eq!(diff(std::slice::from_ref(&block), std::slice::from_ref(&after), 5).unwrap(), []);
        // With the numbers of chunks, even the bytes of floats are the same.
        let floats = |block: &Block| -> Vec<SelectedSeries> {
            let is_float =
                |series: &SelectedSeries| series.chunks.iter().all(|chunk| chunk.encoding.is_float());
            series_of(block).into_iter().filter(is_float).collect()
        };
        assert_eq!(floats(&after), floats(&block));
    }
}

/// The same block makes the same file.
#[test]
fn a_file_depends_on_the_block_alone() {
    let block = Block::open(shared("testdata/bucket/01HWRY2K80C42KHDS4J7F07C1X")).unwrap();
    for rows in [Rows::Chunks, Rows::Samples] {
        assert_eq!(export(&block, rows, 1 << 20).unwrap(), export(&block, rows, 1 << 20).unwrap());
    }
}
