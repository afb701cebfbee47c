//! `stat`, `analyze` and `diff`.

use serde_json::Value;

use crate::{golden_copy, json, lines, refused, tool, yaml};

fn json_of(name: &str, bucket: &std::path::Path, more: &[&str]) -> Value {
    let output = tool(name, bucket, &[&["--output=json"], more].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn blocks_are_summed_up() {
    let bucket = golden_copy();
    let found = json_of("stat", bucket.path(), &[]);
    let total = &found["total"];
    assert_eq!(total["blocks"], 7);
    let mut bytes = 0;
    let mut samples = 0;
    for block in lines("ls", bucket.path(), &[]) {
        let dir = bucket.path().join(block);
        bytes += ["index", "chunks/000001"]
            .map(|file| dir.join(file).metadata().unwrap().len())
            .iter()
            .sum::<u64>();
        samples += json(&dir.join("meta.json"))["stats"]["numSamples"].as_u64().unwrap();
    }
    assert_eq!((&total["bytes"], &total["samples"]), (&bytes.into(), &samples.into()));
    let names = |list: &str, found: &Value| -> Vec<(String, u64)> {
        let lines = found[list].as_array().unwrap().iter();
        let mut lines: Vec<(String, u64)> = lines
            .map(|line| (line["name"].as_str().unwrap().to_owned(), line["blocks"].as_u64().unwrap()))
            .collect();
        lines.sort();
        lines
    };
    let told = |lines: &[(&str, u64)]| -> Vec<(String, u64)> {
        lines.iter().map(|(name, blocks)| (name.to_string(), *blocks)).collect()
    };
    assert_eq!(names("by_resolution", &found), told(&[("1h", 1), ("5m", 1), ("raw", 5)]));
    assert_eq!(names("by_level", &found), told(&[("level 1", 7)]));
    assert_eq!(names("by_age", &found), told(&[("more than a year", 7)]));
    let by_cluster = json_of("stat", bucket.path(), &["--by=cluster"]);
    assert_eq!(names("by_labels", &by_cluster), told(&[("{cluster=\"eu1\"}", 3), ("{cluster=\"us1\"}", 4)]));
    for list in ["by_labels", "by_resolution", "by_level", "by_age"] {
        let sums = found[list].as_array().unwrap().iter().map(|line| line["bytes"].as_u64().unwrap());
        assert_eq!(sums.sum::<u64>(), bytes, "{list}");
    }
    let table = lines("stat", bucket.path(), &[]).join("\n");
    assert!(table.contains("more than a year") && table.contains("The compactor would merge"), "{table}");
}

/// `tithon compact` merges the two replicas, and downsamples when its block of 5 minutes is gone.
#[test]
fn what_the_compactor_would_do_is_told() {
    let bucket = golden_copy();
    let due = |more: &[&str]| json_of("stat", bucket.path(), more)["due"].clone();
    let plain = due(&[]);
    assert_eq!((&plain["merges_in_all"], plain["merges"].as_array().unwrap().len()), (&0.into(), 0));
    assert_eq!(plain["marked_for_deletion"], serde_json::json!(["01HWRQ6W00X6DPMYWAJ8WS5VBY"]));
    let merged = due(&["--deduplication.replica-label=replica"]);
    assert_eq!(merged["merges_in_all"], 1);
    let blocks = merged["merges"][0]["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 2, "{merged}");
    std::fs::remove_dir_all(bucket.path().join("01HWY69WW03S31SCAFM32EK5KS")).unwrap();
    assert_eq!(due(&[])["downsampled"], serde_json::json!(["01HWXW0A00N2JP40HM8NDAQDMF"]));
}

#[test]
fn metrics_are_told_by_what_they_take() {
    let bucket = golden_copy();
    let found = json_of("analyze", bucket.path(), &["--id=01HWXW0A00N2JP40HM8NDAQDMF"]);
    let dir = bucket.path().join("01HWXW0A00N2JP40HM8NDAQDMF");
    let stats = &json(&dir.join("meta.json"))["stats"];
    assert_eq!(found["total"]["series"], stats["numSeries"]);
    assert_eq!(found["total"]["chunks"], stats["numChunks"]);
    let segment = dir.join("chunks/000001").metadata().unwrap().len();
    assert_eq!(found["total"]["bytes"], segment - 8);
    assert_eq!(found["metrics"], 5);
    let metrics = found["by_metric"].as_array().unwrap();
    let sizes: Vec<u64> = metrics.iter().map(|metric| metric["bytes"].as_u64().unwrap()).collect();
    assert!(sizes.len() == 5 && sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
    assert_eq!(sizes.iter().sum::<u64>(), segment - 8);
    let all = json_of("analyze", bucket.path(), &["--all", "--limit=1"]);
    assert_eq!((all["blocks"].as_array().unwrap().len(), all["by_metric"].as_array().unwrap().len()), (5, 1));
    let table = lines("analyze", bucket.path(), &[]).join("\n");
    assert!(table.contains("http_requests_total") && table.contains(" %"), "{table}");
    std::fs::write(dir.join("index"), b"none").unwrap();
    assert!(refused("analyze", bucket.path(), &["--all"]).contains("1 of 5 blocks cannot be read"));
}

#[test]
fn buckets_are_compared() {
    let (first, second) = (golden_copy(), golden_copy());
    let to = format!("--objstore-to.config={}", yaml(second.path()));
    let equal = lines("diff", first.path(), &[&to]);
    assert!(equal.iter().all(|line| line.ends_with("blocks: equal")), "{equal:?}");
    assert_eq!(equal.len(), 5, "{equal:?}");
    std::fs::remove_dir_all(second.path().join("01HWXW0A00N2JP40HM8NDAQDMF")).unwrap();
    std::fs::remove_dir_all(second.path().join("01HWY69WW03S31SCAFM32EK5KS")).unwrap();
    let output = tool("diff", first.path(), &[&to, "--most=3"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(told.contains("raw {cluster=\"us1\"") && told.contains("2 and 1 blocks: DIFFERENT"), "{told}");
    assert!(told.contains("only in the first set"), "{told}");
    // A bucket with both replicas, against a bucket with one of them.
    let one = golden_copy();
    std::fs::remove_dir_all(one.path().join("01HWRY2K800MHKWZ8TGXR5JV88")).unwrap();
    let to = format!("--objstore-to.config={}", yaml(one.path()));
    let flags = [&*to, "--replica-label=replica", "--output=json", "--most=1"];
    let output = tool("diff", first.path(), &flags);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let differ: Vec<&Value> = found
        .as_array()
        .unwrap()
        .iter()
        .filter(|stream| stream["differences"] != serde_json::json!([]))
        .collect();
    assert_eq!(differ.len(), 1, "{found}");
    assert_eq!((&differ[0]["first_blocks"], &differ[0]["second_blocks"]), (&3.into(), &2.into()));
}
