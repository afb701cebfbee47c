//! `replicate`: which blocks are copied, that nothing of them is missing, also when the tool is killed.

use std::path::Path;

use tempfile::TempDir;

use crate::killed::{again_and_again, all_visible_blocks_are_sound};
use crate::{command, golden_copy, names, refused, told, yaml};

/// The complete blocks of the golden bucket, by first time.
const BLOCKS: [&str; 7] = [
    "01HWRQ6W00X6DPMYWAJ8WS5VBY",
    "01HWRY2K800MHKWZ8TGXR5JV88",
    "01HWRY2K80C42KHDS4J7F07C1X",
    "01HWXW0A00N2JP40HM8NDAQDMF",
    "01HWY2W180XSKD2G90GHPE2WDS",
    "01HWY69WW03S31SCAFM32EK5KS",
    "01HWY9QRG0ZB7Z0GY2J37SMPMC",
];

fn replicate(from: &Path, to: &Path, more: &[&str]) -> String {
    let to_flag = format!("--objstore-to.config={}", yaml(to));
    told("replicate", from, &[&[&to_flag, "--http-address=127.0.0.1:0", "--single-run"], more].concat())
}

/// The blocks that these flags choose.
fn chosen(more: &[&str]) -> Vec<&'static str> {
    let (from, to) = (golden_copy(), tempfile::tempdir().unwrap());
    replicate(from.path(), to.path(), more);
    let there = names(to.path());
    BLOCKS.into_iter().filter(|block| there.iter().any(|name| name == block)).collect()
}

fn assert_copied(from: &Path, to: &Path) {
    for file in ["meta.json", "index", "chunks/000001"] {
        assert!(std::fs::read(from.join(file)).unwrap() == std::fs::read(to.join(file)).unwrap(), "{file}");
    }
    assert_eq!(names(to), ["chunks", "index", "meta.json"]);
}

#[test]
fn blocks_are_copied_as_they_are_without_their_marks() {
    let (from, to) = (golden_copy(), tempfile::tempdir().unwrap());
    let told = replicate(from.path(), to.path(), &[]);
    assert_eq!(names(to.path()), BLOCKS);
    for block in BLOCKS {
        assert_copied(&from.path().join(block), &to.path().join(block));
    }
    assert_eq!(told.matches("block is replicated").count(), 7, "{told}");
    // Files in the target are not copied again, except those that are cut off.
    let block = to.path().join(BLOCKS[3]);
    std::fs::write(block.join("index"), b"half").unwrap();
    assert!(!replicate(from.path(), to.path(), &[]).contains("block is replicated"));
    std::fs::remove_file(block.join("meta.json")).unwrap();
    let told = replicate(from.path(), to.path(), &[]);
    assert!(told.contains("objects=2"), "{told}");
    assert_copied(&from.path().join(BLOCKS[3]), &block);
}

#[test]
fn flags_choose_blocks() {
    let [deleted, b, a, raw, no_compact, five_minutes, hour] = BLOCKS;
    assert_eq!(chosen(&["--resolution=5m", "--resolution=1h"]), [five_minutes, hour]);
    assert_eq!(chosen(&["--matcher={cluster=\"eu1\", replica!=b}"]), [deleted, a]);
    assert_eq!(chosen(&["--compaction=2"]), [""; 0]);
    assert_eq!(chosen(&["--compaction-min=2"]), [""; 0]);
    assert_eq!(chosen(&["--ignore-marked-for-deletion"]), [b, a, raw, no_compact, five_minutes, hour]);
    assert_eq!(chosen(&["--max-time=2024-04-30T23:59:00Z"]), [deleted]);
    assert_eq!(chosen(&["--min-time=2024-05-03T00:00:00Z"]), [no_compact]);
    assert_eq!(chosen(&[&format!("--id={hour}"), "--resolution=5m"]), [hour]);
    let (from, to) = (golden_copy(), tempfile::tempdir().unwrap());
    let to_flag = format!("--objstore-to.config={}", yaml(to.path()));
    for (flags, says) in [
        (&["--single-run"][..], "--objstore-to.config"),
        (&[&to_flag, "--compaction-min=3", "--compaction-max=2"], "must not be above"),
        (&[&to_flag, "--matcher=a"], "expected a matcher"),
    ] {
        let error = refused("replicate", from.path(), flags);
        assert!(error.contains(says), "{flags:?}: {error}");
    }
}

#[test]
fn a_block_that_lacks_its_index_is_not_copied() {
    let (from, to): (TempDir, TempDir) = (golden_copy(), tempfile::tempdir().unwrap());
    std::fs::remove_file(from.path().join(BLOCKS[0]).join("index")).unwrap();
    let to_flag = format!("--objstore-to.config={}", yaml(to.path()));
    let flags = [&*to_flag, "--http-address=127.0.0.1:0", "--single-run"];
    let error = refused("replicate", from.path(), &flags);
    assert!(error.contains(BLOCKS[0]) && error.contains("index"), "{error}");
    assert_eq!(names(to.path()), [""; 0]);
}

#[test]
fn killed_again_and_again_it_copies_everything() {
    let (from, to) = (golden_copy(), tempfile::tempdir().unwrap());
    let to_flag = format!("--objstore-to.config={}", yaml(to.path()));
    let flags = [&*to_flag, "--http-address=127.0.0.1:0", "--single-run"];
    again_and_again(|| command("replicate", from.path(), &flags), || all_visible_blocks_are_sound(to.path()));
    assert_eq!(names(to.path()), BLOCKS);
    all_visible_blocks_are_sound(to.path());
}
