//! `verify`: the findings that Thanos 0.43 has in the same bucket, and repairs.

use std::path::Path;

use serde_json::Value;
use tithon_chunks::{EncodedChunk, Encoding, Timestamp, XorEncoder};
use tithon_engine::diff::diff;
use tithon_engine::{Block, BlockId, BlockWriter, Compaction, MetaParts, ThanosMeta};
use tithon_index::Labels;

use crate::killed::again_and_again;
use crate::{command, golden_copy, json, names, refused, told, yaml};

const BLOCK: &str = "01HWRY2K80C42KHDS4J7F07C1X";
const ALL: [&str; 3] =
    ["--issues=index_known_issues", "--issues=overlapped_blocks", "--issues=duplicated_compaction"];

/// A copy of [`BLOCK`] under another id, its meta.json changed.
fn copy(bucket: &Path, id: &str, change: impl FnOnce(&mut Value)) {
    tithon_testdata::copy_dir(&tithon_testdata::shared("testdata/bucket").join(BLOCK), &bucket.join(id));
    let path = bucket.join(id).join("meta.json");
    let mut meta = json(&path);
    meta["ulid"] = id.into();
    change(&mut meta);
    std::fs::write(path, serde_json::to_vec(&meta).unwrap()).unwrap();
}

fn relabel(meta: &mut Value, cluster: &str) {
    meta["thanos"]["labels"] = serde_json::json!({ "cluster": cluster });
}

/// The lines that warn.
fn findings(told: &str) -> Vec<&str> {
    told.lines().filter(|line| line.contains("level=warn")).collect()
}

#[test]
fn the_golden_bucket_has_no_issue() {
    let bucket = golden_copy();
    let told = told("verify", bucket.path(), &ALL);
    // The partial block is reported three times.
    assert_eq!(findings(&told).len(), 3, "{told}");
    assert!(findings(&told).iter().all(|line| line.contains("no meta.json")), "{told}");
}

#[test]
fn faults_are_found_as_thanos_finds_them() {
    let bucket = golden_copy();
    let path = bucket.path();
    std::fs::remove_dir_all(path.join("01HWS4YAG0WTMHD8FVRFEJM5TJ")).unwrap();
    copy(path, "01HWRY2K80C42KHDS4J7F07C20", |_| ());
    copy(path, "01HWRY2K80C42KHDS4J7F07C21", |meta| meta["compaction"]["level"] = 2.into());
    copy(path, "01HWRY2K80C42KHDS4J7F07C22", |meta| {
        meta["minTime"] = (meta["minTime"].as_i64().unwrap() + 600_000).into();
        relabel(meta, "a");
    });
    copy(path, "01HWRY2K80C42KHDS4J7F07C23", |meta| {
        meta["maxTime"] = (meta["minTime"].as_i64().unwrap() + 1).into();
        relabel(meta, "b");
    });
    for (id, from_end) in [("01HWRY2K80C42KHDS4J7F07C24", true), ("01HWRY2K80C42KHDS4J7F07C25", false)] {
        copy(path, id, |meta| relabel(meta, id));
        let index = path.join(id).join("index");
        let mut bytes = std::fs::read(&index).unwrap();
        let at = if from_end { bytes.len() - 10 } else { 40 };
        bytes[at] ^= 0xff;
        std::fs::write(index, bytes).unwrap();
    }
    copy(path, "01HWRY2K80C42KHDS4J7F07C27", |meta| relabel(meta, "c"));
    std::fs::remove_file(path.join("01HWRY2K80C42KHDS4J7F07C27/index")).unwrap();
    // Damage of chunks is not looked for.
    copy(path, "01HWRY2K80C42KHDS4J7F07C28", |meta| relabel(meta, "d"));
    std::fs::write(path.join("01HWRY2K80C42KHDS4J7F07C28/chunks/000001"), b"nothing").unwrap();
    let told = told("verify", path, &ALL);
    let found = findings(&told);
    let issue = |id: &str| {
        let lines: Vec<&&str> =
            found.iter().filter(|l| l.contains("detected issue") && l.contains(id)).collect();
        assert_eq!(lines.len(), 1, "{id}: {told}");
        lines[0].to_string()
    };
    for (n, what) in [
        ("22", "44 chunks reach out of the block's time"),
        ("23", "44 chunks reach out of the block's time, 136 chunks lie wholly outside"),
        ("24", "checksum"),
        ("25", "checksum"),
        ("27", "index"),
    ] {
        let line = issue(&format!("01HWRY2K80C42KHDS4J7F07C{n}"));
        assert!(line.contains(what), "{line}");
    }
    assert_eq!(found.iter().filter(|line| line.contains("detected issue")).count(), 5, "{told}");
    let overlap = "[mint: 1714521601000, maxt: 1714528786001, range: 1h59m45s, blocks: 3]: \
                   <ulid: 01HWRY2K80C42KHDS4J7F07C1X, mint: 1714521601000, maxt: 1714528786001, range: 1h59m45s>, \
                   <ulid: 01HWRY2K80C42KHDS4J7F07C20, ";
    let line = found.iter().find(|line| line.contains("found overlapped blocks")).unwrap();
    assert!(line.contains(overlap) && line.contains("0@708190779274861024"), "{line}");
    let line = found.iter().find(|line| line.contains("can be removed")).unwrap();
    assert!(line.contains("[01HWRY2K80C42KHDS4J7F07C20]") && line.contains("n=1"), "{line}");
}

/// A block of three series with a chunk for each of the seconds 0 to 3, whose meta.json says that it covers [1, 3) seconds.
fn faulty_block(bucket: &Path, id: BlockId) {
    let mut writer = BlockWriter::create(bucket, id).unwrap();
    for series in 0..3 {
        let chunk = |second: i64| {
            let mut encoder = XorEncoder::new();
            (0..10).for_each(|i| encoder.push(second * 1000 + i * 100, (series * i) as f64));
            let (min_time, max_time) = (Timestamp(second * 1000), Timestamp(second * 1000 + 900));
            EncodedChunk { encoding: Encoding::Xor, min_time, max_time, data: encoder.finish().into() }
        };
        let labels = Labels::from_pairs([("__name__", "m"), ("n", &series.to_string())]);
        writer.add_series(&labels, &[chunk(0), chunk(1), chunk(2), chunk(3)]).unwrap();
    }
    let thanos = ThanosMeta { labels: [("a".to_owned(), "b".to_owned())].into(), ..ThanosMeta::default() };
    let compaction = Compaction { level: 1, sources: vec![id], ..Compaction::default() };
    let parts = MetaParts { min_time: 1000, max_time: 3000, compaction, thanos: Some(thanos) };
    writer.finish(parts).unwrap().unwrap();
}

#[test]
fn a_block_with_chunks_outside_its_time_is_repaired() {
    let [bucket, backup, tmp] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (path, broken) = (bucket.path(), "01HWRY2K80C42KHDS4J7F07C23");
    faulty_block(path, broken.parse().unwrap());
    let files = |dir: &Path| ["index", "chunks/000001"].map(|file| std::fs::read(dir.join(file)).unwrap());
    let before = files(&path.join(broken));
    let backup_flag = format!("--objstore-backup.config={}", yaml(backup.path()));
    let tmp_flag = format!("--tmp.dir={}", tmp.path().display());
    let id_flag = format!("--id={broken}");
    let repair = ["--repair", "--issues=index_known_issues", &id_flag, &backup_flag, &tmp_flag];
    let told_of_repair = told("verify", path, &repair);
    assert!(
        told_of_repair
            .contains("3 chunks lie wholly outside the block's time, 3 chunks begin where the block ends"),
        "{told_of_repair}"
    );
    let left = names(path);
    assert!(left.len() == 1 && left[0] != broken, "{left:?}");
    assert!(files(&backup.path().join(broken)) == before);
    let made = Block::open(path.join(&left[0])).unwrap();
    let (thanos, compaction) = (made.meta().thanos.as_ref().unwrap(), &made.meta().compaction);
    assert_eq!(
        (thanos.source.as_str(), compaction.sources[0].to_string()),
        ("bucket.repair", broken.to_owned())
    );
    assert_eq!((made.meta().stats.num_chunks, made.meta().stats.num_samples), (6, 60));
    assert_eq!(findings(&told("verify", path, &ALL)), [""; 0]);
    assert_eq!(names(tmp.path()), [""; 0]);
}

/// However often it is killed, the block is there, broken or repaired, until the end.
#[test]
fn a_repair_that_is_killed_again_and_again_ends() {
    let [bucket, backup, tmp] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    let (path, broken) = (bucket.path(), "01HWRY2K80C42KHDS4J7F07C23");
    faulty_block(path, broken.parse().unwrap());
    let backup_flag = format!("--objstore-backup.config={}", yaml(backup.path()));
    let tmp_flag = format!("--tmp.dir={}", tmp.path().display());
    let repair = ["--repair", "--issues=index_known_issues", &backup_flag, &tmp_flag];
    let visible = || -> Vec<String> {
        let is_visible = |name: &String| path.join(name).join("meta.json").exists();
        names(path).into_iter().filter(is_visible).collect()
    };
    again_and_again(
        || command("verify", path, &repair),
        || {
            let repaired: Vec<String> = visible().into_iter().filter(|name| name != broken).collect();
            assert!(repaired.len() <= 1 && !visible().is_empty(), "{:?}", visible());
            for name in repaired {
                assert_eq!(Block::open(path.join(name)).unwrap().meta().stats.num_samples, 60);
            }
        },
    );
    // The last run may have come when all was done.
    told("verify", path, &repair);
    let left = visible();
    assert!(left.len() == 1 && left[0] != broken, "{left:?}");
    assert!(backup.path().join(broken).join("meta.json").exists());
}

#[test]
fn a_block_that_is_there_twice_is_removed_once() {
    let (bucket, backup) = (golden_copy(), tempfile::tempdir().unwrap());
    let path = bucket.path();
    let twin = "01HWRY2K80C42KHDS4J7F07C20";
    copy(path, twin, |_| ());
    let backup_flag = format!("--objstore-backup.config={}", yaml(backup.path()));
    let repair = ["--repair", "--issues=duplicated_compaction", &backup_flag];
    // With a delay, the block is marked.
    told("verify", path, &[&repair[..], &["--delete-delay=1h"]].concat());
    let mark = json(&path.join(twin).join("deletion-mark.json"));
    assert_eq!(mark["details"], "manual verify-repair");
    std::fs::remove_file(path.join(twin).join("deletion-mark.json")).unwrap();
    // The backup of the run before is the same block.
    told("verify", path, &repair);
    assert!(!path.join(twin).exists() && path.join(BLOCK).exists());
    let open = |dir: &Path| vec![Block::open(dir).unwrap()];
    assert_eq!(diff(&open(&backup.path().join(twin)), &open(&path.join(BLOCK)), 1).unwrap(), []);
    // A backup that is another block is not overwritten.
    copy(path, twin, |meta| meta["thanos"]["extensions"] = "x".into());
    assert!(refused("verify", path, &repair).contains("has another block"));
    assert!(path.join(twin).join("meta.json").exists());
}

#[test]
fn flags_that_do_not_go_together_are_refused() {
    let bucket = golden_copy();
    let backup = format!("--objstore-backup.config={}", yaml(bucket.path()));
    for (flags, says) in [
        (&["--repair"][..], "needs a backup bucket"),
        (&["--repair", &backup], "overlapped_blocks cannot be repaired"),
        (&["--id=01HWRY2K80C42KHDS4J7F07C1X"], "--id goes with"),
        (&["--issues=all"], "duplicated_compaction"),
    ] {
        assert!(refused("verify", bucket.path(), flags).contains(says), "{flags:?}");
    }
}
