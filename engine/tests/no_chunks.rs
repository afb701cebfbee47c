//! A block without `chunks/` folder, as Thanos writes it for raw blocks whose samples are all NaN: it is empty, not
//! damaged.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use tithon_chunks::TimeRange;
use tithon_engine::compact::{CompactOptions, compact};
use tithon_engine::downsample::{Target, downsample};
use tithon_engine::{Block, BlockError, BlockId, Resolution, SelectRequest, diff, digest, inspect, verify};
use tithon_testdata::shared;

const RAW: &str = "testdata/field/no-chunks-folder/01HWY2W1800000000000000001";
const EMPTY: &str = "testdata/field/no-chunks-folder/01M8HEV6YCR241FWMSACHTYWBX";

fn empty() -> Block {
    Block::open(shared(EMPTY)).unwrap()
}

#[test]
fn everything_that_reads_blocks_finds_it_empty() {
    let block = empty();
    assert_eq!(block.segments().len(), 0);
    assert_eq!(block.select(SelectRequest::new(vec![], TimeRange::ALL)).count(), 0);
    let health = verify::verify(&block);
    assert!(health.is_sound(), "{health:?}");
    assert_eq!(inspect::inspect(&block).unwrap().samples, 0);
    digest::digests(&block, |series| -> Result<(), BlockError> { panic!("{series:?}") }).unwrap();
    assert_eq!(diff::diff(&[empty()], &[empty()], 9).unwrap().len(), 0);
}

#[test]
fn it_adds_nothing_to_what_is_made() {
    let (dir, id) = (tempfile::tempdir().unwrap(), BlockId::from_parts(1, 1));
    let options = CompactOptions::default();
    assert_eq!(compact(&[empty(), empty()], dir.path(), &[id], None, options).unwrap(), [None]);
    let target = Target { resolution: Resolution::OneHour, id };
    assert_eq!(downsample(&empty(), dir.path(), &[target]).unwrap(), [None]);
    let raw = Block::open(shared(RAW)).unwrap();
    let meta = compact(&[raw, empty()], dir.path(), &[id], None, options).unwrap().remove(0).unwrap();
    assert_eq!((meta.stats.num_series, meta.stats.num_samples), (1, 600));
}

/// Chunks that the index has and the block lacks are damage.
#[test]
fn a_block_that_lost_its_chunks_is_damaged() {
    let (from, dir) = (shared(RAW), tempfile::tempdir().unwrap());
    let to: PathBuf = dir.path().join("01HWY2W1800000000000000001");
    std::fs::create_dir(&to).unwrap();
    for file in ["index", "meta.json"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let block = Block::open(&to).unwrap();
    assert!(verify::verify(&block).damage[0].contains("segment 0 is missing"));
    assert!(block.select(SelectRequest::new(vec![], TimeRange::ALL)).any(|batch| batch.is_err()));
    let made = compact(&[block], dir.path(), &[BlockId::from_parts(1, 1)], None, CompactOptions::default());
    assert!(made.unwrap_err().to_string().contains("segment 0 is missing"));
}
