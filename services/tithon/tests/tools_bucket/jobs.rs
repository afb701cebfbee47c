//! `downsample`, `cleanup` and `retention`: what Thanos 0.43 leaves of the same bucket.

use std::path::Path;

use crate::killed::{again_and_again, all_visible_blocks_are_sound};
use crate::{command, golden_copy, json, names, refused, told};

const DELETED: &str = "01HWRQ6W00X6DPMYWAJ8WS5VBY";
/// The raw block of 48 hours, and the blocks of 5 minutes and of an hour that were made from it.
const RAW: &str = "01HWXW0A00N2JP40HM8NDAQDMF";
const MADE: [&str; 2] = ["01HWY69WW03S31SCAFM32EK5KS", "01HWY9QRG0ZB7Z0GY2J37SMPMC"];

#[test]
fn what_is_marked_long_enough_is_deleted() {
    let bucket = golden_copy();
    let before = names(bucket.path());
    told("cleanup", bucket.path(), &["--delete-delay=200000h"]);
    assert_eq!(names(bucket.path()), before);
    told("cleanup", bucket.path(), &[]);
    // The partial block was copied just now.
    let left: Vec<String> = before.into_iter().filter(|name| name != DELETED).collect();
    assert_eq!(names(bucket.path()), left);
}

#[test]
fn what_is_past_its_retention_is_marked() {
    let bucket = golden_copy();
    told("retention", bucket.path(), &[]);
    told("retention", bucket.path(), &["--retention.resolution-raw=30d", "--retention.resolution-5m=100d"]);
    let mut marked = Vec::new();
    for block in names(bucket.path()) {
        let path = bucket.path().join(&block).join("deletion-mark.json");
        if path.exists() {
            marked.push((block, json(&path)["details"].as_str().unwrap().to_owned()));
        }
    }
    let raw = "block exceeding retention of 720h0m0s";
    let expected = [
        (DELETED, "source of compacted block"),
        ("01HWRY2K800MHKWZ8TGXR5JV88", raw),
        ("01HWRY2K80C42KHDS4J7F07C1X", raw),
        (RAW, raw),
        ("01HWY2W180XSKD2G90GHPE2WDS", raw),
        (MADE[0], "block exceeding retention of 2400h0m0s"),
    ];
    assert_eq!(marked, expected.map(|(block, details)| (block.to_owned(), details.to_owned())));
}

#[test]
fn both_resolutions_are_made_and_the_tool_ends() {
    let (bucket, data) = (golden_copy(), tempfile::tempdir().unwrap());
    for block in MADE {
        std::fs::remove_dir_all(bucket.path().join(block)).unwrap();
    }
    let before = names(bucket.path());
    let data_flag = format!("--data-dir={}", data.path().display());
    let flags = ["--single-run", "--http-address=127.0.0.1:0", "--hash-func=SHA256", &data_flag];
    told("downsample", bucket.path(), &flags);
    let new: Vec<String> = names(bucket.path()).into_iter().filter(|name| !before.contains(name)).collect();
    let golden = tithon_testdata::shared("testdata/bucket");
    // Thanos's spans: 48 hours are enough for 5 minutes, an hour takes 10 days.
    assert_eq!(new.len(), 1, "{new:?}");
    let meta = json(&bucket.path().join(&new[0]).join("meta.json"));
    assert_eq!(meta["thanos"]["downsample"]["resolution"], 300_000);
    assert!(meta["thanos"]["files"][0]["hash"]["hashFunc"] == "SHA256", "{meta}");
    for file in ["index", "chunks/000001"] {
        let read = |dir: &std::path::Path| std::fs::read(dir.join(file)).unwrap();
        assert!(read(&bucket.path().join(&new[0])) == read(&golden.join(MADE[0])), "{file}");
    }
    assert!(!data.path().join("downsample").exists(), "blocks are written straight into the bucket");
    // The second run has nothing to do.
    told("downsample", bucket.path(), &flags);
    assert_eq!(names(bucket.path()).len(), before.len() + 1);
}

#[test]
fn a_block_that_cannot_be_downsampled_fails_the_run() {
    let (bucket, data) = (golden_copy(), tempfile::tempdir().unwrap());
    for block in MADE {
        std::fs::remove_dir_all(bucket.path().join(block)).unwrap();
    }
    let index = bucket.path().join(RAW).join("index");
    let bytes = std::fs::read(&index).unwrap();
    std::fs::write(&index, &bytes[..bytes.len() / 2]).unwrap();
    let data_flag = format!("--data-dir={}", data.path().display());
    let error =
        refused("downsample", bucket.path(), &["--single-run", "--http-address=127.0.0.1:0", &data_flag]);
    assert!(error.contains(RAW) && error.contains("index"), "{error}");
}

/// The marks of one kind in a bucket, all of which can be read.
fn marks(bucket: &Path, file: &str) -> Vec<(String, String)> {
    let path = |block: &String| bucket.join(block).join(file);
    let marked = names(bucket).into_iter().filter(|block| path(block).exists());
    marked.map(|block| (block.clone(), json(&path(&block))["details"].as_str().unwrap().to_owned())).collect()
}

#[test]
fn a_downsampling_that_is_killed_again_and_again_makes_each_block_once() {
    let (bucket, data) = (golden_copy(), tempfile::tempdir().unwrap());
    for block in MADE {
        std::fs::remove_dir_all(bucket.path().join(block)).unwrap();
    }
    let (path, before) = (bucket.path(), names(bucket.path()));
    let made = || -> Vec<String> {
        let new = names(path).into_iter().filter(|name| !before.contains(name));
        new.filter(|name| path.join(name).join("meta.json").exists()).collect()
    };
    let data_flag = format!("--data-dir={}", data.path().display());
    again_and_again(
        || command("downsample", path, &["--single-run", "--http-address=127.0.0.1:0", &data_flag]),
        || {
            all_visible_blocks_are_sound(path);
            assert!(made().len() <= 1, "{:?}", made());
        },
    );
    let golden = tithon_testdata::shared("testdata/bucket").join(MADE[0]);
    for file in ["index", "chunks/000001"] {
        let read = |dir: &Path| std::fs::read(dir.join(file)).unwrap();
        assert!(read(&path.join(&made()[0])) == read(&golden), "{file}");
    }
    // What the killed runs had begun is gone.
    assert_eq!(names(path).len(), before.len() + 1);
}

#[test]
fn a_cleanup_that_is_killed_again_and_again_deletes_what_is_marked() {
    let bucket = golden_copy();
    let (path, before) = (bucket.path(), names(bucket.path()));
    let marked = ["01HWRY2K800MHKWZ8TGXR5JV88", RAW, MADE[0], MADE[1]].map(|id| format!("--id={id}"));
    let flags = marked.iter().map(String::as_str).chain(["--marker=deletion-mark.json", "--details=x"]);
    told("mark", path, &flags.collect::<Vec<_>>());
    let left: Vec<String> = before
        .into_iter()
        .filter(|name| name != DELETED && !marked.iter().any(|flag| flag.ends_with(name.as_str())))
        .collect();
    again_and_again(
        || command("cleanup", path, &["--delete-delay=0s"]),
        || {
            all_visible_blocks_are_sound(path);
            assert!(left.iter().all(|name| path.join(name).exists()), "{:?}", names(path));
        },
    );
    // A block of which only the mark was left needs no second run. A folder may be left, with nothing in it.
    let is_there = |name: &String| !path.join(name).is_dir() || !names(&path.join(name)).is_empty();
    assert_eq!(names(path).into_iter().filter(is_there).collect::<Vec<_>>(), left);
}

#[test]
fn a_retention_that_is_killed_again_and_again_marks_the_same() {
    let flags = ["--retention.resolution-raw=30d", "--retention.resolution-5m=100d"];
    let (bucket, other) = (golden_copy(), golden_copy());
    told("retention", other.path(), &flags);
    let expected = marks(other.path(), "deletion-mark.json");
    again_and_again(
        || command("retention", bucket.path(), &flags),
        || {
            let found = marks(bucket.path(), "deletion-mark.json");
            assert!(found.iter().all(|mark| expected.contains(mark)), "{found:?}");
        },
    );
    assert_eq!(marks(bucket.path(), "deletion-mark.json"), expected);
}

#[test]
fn marks_are_whole_however_often_the_tool_is_killed() {
    let bucket = golden_copy();
    let ids = [RAW, MADE[0], MADE[1]].map(|id| format!("--id={id}"));
    let flags =
        |more: [&'static str; 2]| -> Vec<&str> { ids.iter().map(String::as_str).chain(more).collect() };
    let file = "no-downsample-mark.json";
    let before = marks(bucket.path(), file).len();
    let check = || drop(marks(bucket.path(), file));
    let put = flags(["--marker=no-downsample-mark.json", "--details=by hand"]);
    again_and_again(|| command("mark", bucket.path(), &put), check);
    let by_hand = marks(bucket.path(), file).into_iter().filter(|(_, details)| details == "by hand");
    assert_eq!(by_hand.count(), 3);
    let remove = flags(["--marker=no-downsample-mark.json", "--remove"]);
    again_and_again(|| command("mark", bucket.path(), &remove), check);
    assert!(marks(bucket.path(), file).len() <= before);
    all_visible_blocks_are_sound(bucket.path());
}
