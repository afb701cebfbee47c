//! A chunk with an unknown encoding byte is damage: no block is made from its block, and the error gives its place.

#![allow(clippy::unwrap_used)]

use tithon_engine::compact::{CompactOptions, compact};
use tithon_engine::downsample::{Target, downsample};
use tithon_engine::{Block, BlockId, Resolution};
use tithon_testdata::shared;

const BAD: &str = "01HWS4YAG00000000000000035";

fn open(block: &str) -> Block {
    Block::open(shared(&format!("testdata/field/encoding-0/{block}"))).unwrap()
}

#[test]
fn nothing_is_made_of_its_block() {
    let (dir, id) = (tempfile::tempdir().unwrap(), BlockId::from_parts(1, 1));
    let blocks = [open("01HWRY2K800000000000000034"), open(BAD)];
    let merged = compact(&blocks, dir.path(), &[id], None, CompactOptions::default()).unwrap_err();
    let target = Target { resolution: Resolution::FiveMinutes, id };
    let downsampled = downsample(&blocks[1], dir.path(), &[target]).unwrap_err();
    for error in [merged, downsampled] {
        let told = format!("block {BAD}: chunks/000001 at offset 552: chunk encoding 0 (unknown)");
        assert!(error.to_string().starts_with(&told), "{error}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
}
