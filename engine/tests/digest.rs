//! Every golden block digests to what upstream read back from it.

use std::path::{Path, PathBuf};

use tithon_engine::{Block, digest_series};
use tithon_testdata::shared;

/// Blocks with an expected file: the block's directory and the file beside it.
fn golden() -> Vec<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    for top in ["blocks", "compaction", "downsample"] {
        walk(&shared(&format!("testdata/{top}")), &mut found);
    }
    found.sort();
    found
}

fn walk(dir: &Path, found: &mut Vec<(PathBuf, PathBuf)>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.join("meta.json").exists() {
            let mut name = path.file_name().unwrap().to_owned();
            name.push(".expected.jsonl.zst");
            let expected = path.with_file_name(name);
            if expected.exists() {
                found.push((path, expected));
            }
        } else if path.is_dir() {
            walk(&path, found);
        }
    }
}

#[test]
fn digests_equal_upstreams() {
    let golden = golden();
    assert!(golden.len() > 50, "{} blocks", golden.len());
    for (dir, expected) in &golden {
        let root = shared("testdata");
        let relative = expected.strip_prefix(&root).unwrap();
        let expected = tithon_testdata::json_lines(&format!("testdata/{}", relative.display()));
        // The directory's name need not be the id: a copy under a temporary name is opened by its files.
        let block = Block::open(dir).unwrap();
        let mut lines = 0;
        for (series, expected) in block.stored().unwrap().zip(&expected) {
            let digest = digest_series(block.id(), &series.unwrap()).unwrap();
            assert_eq!(&serde_json::to_value(digest).unwrap(), expected, "{}", dir.display());
            lines += 1;
        }
        assert_eq!(lines, expected.len(), "{}", dir.display());
        assert_eq!(block.stored().unwrap().n_series(), expected.len(), "{}", dir.display());
    }
}
