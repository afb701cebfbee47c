//! `export` and `import`: blocks become Parquet files and blocks again, also when the tool is killed.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::killed::{again_and_again, all_visible_blocks_are_sound};
use crate::{command, golden_copy, json, names, refused, tool};

/// A raw block of 48 hours, one of 5 minutes and one of an hour, of the same series.
const BLOCKS: [&str; 3] =
    ["01HWXW0A00N2JP40HM8NDAQDMF", "01HWY69WW03S31SCAFM32EK5KS", "01HWY9QRG0ZB7Z0GY2J37SMPMC"];

/// What a tool prints as JSON.
fn printed(name: &str, bucket: &Path, more: &[&str]) -> Value {
    let output = tool(name, bucket, &[more, &["--output=json"]].concat());
    assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Exports blocks of the golden bucket; the folder and the paths of the files.
fn exported(more: &[&str]) -> (TempDir, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let to = format!("--to={}", dir.path().display());
    let lines = printed("export", &tithon_testdata::shared("testdata/bucket"), &[more, &[&to]].concat());
    let file = |line: &Value| line["file"].as_str().unwrap().to_owned();
    let files: Vec<String> = lines.as_array().unwrap().iter().map(file).collect();
    assert!(files.iter().all(|file| Path::new(file).is_file()), "{files:?}");
    (dir, files)
}

fn with_ids() -> Vec<String> {
    BLOCKS.iter().map(|id| format!("--id={id}")).collect()
}

/// A bucket that only has some blocks of the golden one.
fn bucket_of(blocks: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for block in blocks {
        let from = tithon_testdata::shared("testdata/bucket").join(block);
        tithon_testdata::copy_dir(&from, &dir.path().join(block));
    }
    dir
}

/// The complete blocks of a bucket.
fn blocks_of(bucket: &Path) -> Vec<PathBuf> {
    let all = names(bucket).into_iter().map(|name| bucket.join(name));
    all.filter(|dir| dir.join("meta.json").exists()).collect()
}

#[test]
fn blocks_come_back_sample_by_sample() {
    let original = bucket_of(&BLOCKS);
    for rows in ["--rows=samples", "--rows=chunks"] {
        let ids = with_ids();
        let (_files, files) = exported(&[ids.iter().map(String::as_str).collect(), vec![rows]].concat());
        assert_eq!(files.len(), 3);
        let [bucket, tmp] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let tmp_dir = format!("--tmp.dir={}", tmp.path().display());
        std::fs::write(tmp.path().join("mine"), "").unwrap();
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        let lines = printed("import", bucket.path(), &[files, vec![&tmp_dir]].concat());
        assert!(lines.as_array().unwrap().iter().all(|line| line["outcome"] == "imported"), "{lines}");
        all_visible_blocks_are_sound(bucket.path());
        assert_eq!(names(tmp.path()), ["mine", "tithon-import"]);
        assert_eq!(names(&tmp.path().join("tithon-import")), Vec::<String>::new());
        let to = format!(
            "--objstore-to.config={{type: FILESYSTEM, config: {{directory: {}}}}}",
            bucket.path().display()
        );
        let same = tool("diff", original.path(), &[&to]);
        assert!(same.status.success(), "{rows}: {}", String::from_utf8_lossy(&same.stdout));

        let made = blocks_of(bucket.path());
        let of_hour = made.iter().map(|dir| json(&dir.join("meta.json")));
        let of_hour =
            of_hour.into_iter().find(|meta| meta["thanos"]["downsample"]["resolution"] == 3_600_000).unwrap();
        let before = json(&original.path().join(BLOCKS[2]).join("meta.json"));
        for (name, at) in [("minTime", ""), ("maxTime", ""), ("stats", ""), ("labels", "/thanos")] {
            let path = format!("{at}/{name}");
            let (found, expected) = (of_hour.pointer(&path), before.pointer(&path));
            if name == "stats" {
                assert_eq!(found.unwrap()["numSeries"], expected.unwrap()["numSeries"]);
                continue;
            }
            assert_eq!(found, expected, "{path}");
        }
        assert_eq!(of_hour["compaction"]["sources"], json!([of_hour["ulid"]]));
        assert_eq!(of_hour["thanos"]["source"], "bucket.import");
    }
}

#[test]
fn what_is_exported_is_chosen_by_flags() {
    let all = exported(&[]).1.len();
    let early = exported(&["--max-time=2024-04-30T23:59:00Z"]).1.len();
    let of_cluster = exported(&["--matcher=cluster=\"us1\""]).1.len();
    assert!(early < all && of_cluster < all && of_cluster > 0, "{all} {early} {of_cluster}");
    let dir = tempfile::tempdir().unwrap();
    let (id, to) = (format!("--id={}", BLOCKS[0]), format!("--to={}", dir.path().display()));
    let bucket = tithon_testdata::shared("testdata/bucket");
    let lines = printed("export", &bucket, &[&id, &to, "--match=__name__=\"up\""]);
    assert_eq!(lines[0]["series"], 4, "{lines}");
    let planned = printed("export", &bucket, &["--dry-run", &to]);
    assert_eq!(planned.as_array().unwrap().len(), all);
    assert_eq!(names(dir.path()), [format!("{}.parquet", BLOCKS[0])]);
    let error = refused("export", &bucket, &["--id=01HWS4YAG00000000000000035", &to]);
    assert!(error.contains("no such block"), "{error}");
}

#[test]
fn a_file_is_imported_once_for_each_set_of_labels() {
    let (_files, files) = exported(&[&format!("--id={}", BLOCKS[1])]);
    let [bucket, tmp] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let tmp_dir = format!("--tmp.dir={}", tmp.path().join("import").display());
    let import = |more: &[&str]| {
        let lines = printed("import", bucket.path(), &[&[files[0].as_str(), &tmp_dir], more].concat());
        (lines[0]["outcome"].as_str().unwrap().to_owned(), lines[0]["block"].clone())
    };
    let (outcome, _) = import(&["--dry-run"]);
    assert_eq!((outcome.as_str(), blocks_of(bucket.path()).len()), ("would be imported", 0));
    let (outcome, first) = import(&[]);
    assert_eq!(outcome, "imported");
    assert_eq!(import(&[]), ("imported before".to_owned(), first));
    let (outcome, other) = import(&["--label=cluster=\"elsewhere\""]);
    assert_eq!((outcome.as_str(), blocks_of(bucket.path()).len()), ("imported", 2));
    let meta = json(&bucket.path().join(other.as_str().unwrap()).join("meta.json"));
    assert_eq!(meta["thanos"]["labels"]["cluster"], "elsewhere");
}

#[test]
fn what_cannot_be_imported_is_told() {
    let (_files, files) = exported(&[&format!("--id={}", BLOCKS[1])]);
    let [bucket, tmp] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let tmp_dir = format!("--tmp.dir={}", tmp.path().join("import").display());
    let cut = tmp.path().join("cut.parquet");
    let bytes = std::fs::read(&files[0]).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let error = refused("import", bucket.path(), &[cut.to_str().unwrap(), &tmp_dir]);
    assert!(error.contains("cut.parquet: footer: "), "{error}");
    let missing = tmp.path().join("missing.parquet");
    let error = refused("import", bucket.path(), &[missing.to_str().unwrap(), &tmp_dir]);
    assert!(error.contains("missing.parquet: No such file"), "{error}");
    let no_labels = ["--label=cluster=\"\"", "--label=replica=\"\"", files[0].as_str(), &tmp_dir];
    let error = refused("import", bucket.path(), &no_labels);
    assert!(error.contains("a block needs external labels"), "{error}");
    let folder = std::fs::File::open(tmp.path().join("import/tithon-import")).unwrap();
    folder.lock().unwrap();
    let error = refused("import", bucket.path(), &[&files[0], &tmp_dir]);
    assert!(error.contains("another import is using it"), "{error}");
    assert_eq!(blocks_of(bucket.path()).len(), 0);
}

/// However often the tool is killed, each file becomes one block, and no reader sees half of one.
#[test]
fn killed_again_and_again_an_import_makes_each_block_once() {
    let ids = with_ids();
    let (_files, files) = exported(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let [bucket, tmp] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let tmp_dir = format!("--tmp.dir={}", tmp.path().join("import").display());
    let flags: Vec<&str> = files.iter().map(String::as_str).chain([tmp_dir.as_str()]).collect();
    again_and_again(
        || command("import", bucket.path(), &flags),
        || {
            all_visible_blocks_are_sound(bucket.path());
            assert!(blocks_of(bucket.path()).len() <= 3);
        },
    );
    assert_eq!(blocks_of(bucket.path()).len(), 3);
    let original = bucket_of(&BLOCKS);
    let to = format!(
        "--objstore-to.config={{type: FILESYSTEM, config: {{directory: {}}}}}",
        bucket.path().display()
    );
    assert!(tool("diff", original.path(), &[&to]).status.success());
}

/// A killed export leaves no file of that name, or a whole one.
#[test]
fn killed_again_and_again_an_export_leaves_whole_files() {
    let (original, dir) = (golden_copy(), tempfile::tempdir().unwrap());
    let (to, id) = (format!("--to={}", dir.path().display()), format!("--id={}", BLOCKS[0]));
    let expected = std::fs::read(&exported(&[&id]).1[0]).unwrap();
    again_and_again(
        || command("export", original.path(), &[&to, &id]),
        || {
            if let Ok(found) = std::fs::read(dir.path().join(format!("{}.parquet", BLOCKS[0]))) {
                assert!(found == expected);
            }
        },
    );
    assert_eq!(names(dir.path()), [format!("{}.parquet", BLOCKS[0])]);
}
