//! `rewrite`: the samples and changes that Thanos 0.43 leaves of the same block with the same configurations, also when the tool is
//! killed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::killed::{again_and_again, all_visible_blocks_are_sound};
use crate::{command, json, names, refused, told};

const BLOCK: &str = "01HWXW0A00N2JP40HM8NDAQDMF";

const DELETE: &str = r#"
- matchers: '{__name__="http_request_duration_seconds_bucket", le=~"0.*"}'
- matchers: '{__name__=~"up|go_goroutines", pod!="app-0"}'
  intervals:
  - {mint: 1714560000000, maxt: 1714600000123}
  - {mint: 1714650000000, maxt: 1714650100000}
- matchers: '{nonexistent!="x"}'
"#;

const RELABEL: &str = r#"
- action: drop
  source_labels: [__name__, code]
  regex: http_requests_total;500
- action: replace
  source_labels: [pod]
  regex: app-(.*)
  target_label: pod
  replacement: p$1
- action: labeldrop
  regex: method
- {action: drop, source_labels: [__name__], regex: http_request_duration_seconds}
- {action: labelmap, regex: "(job)", replacement: "x_${1}"}
"#;

struct Bed {
    bucket: TempDir,
    tmp: TempDir,
    flags: Vec<String>,
}

fn bed(configs: &[(&str, &str)], more: &[&str]) -> Bed {
    let [bucket, tmp] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    tithon_testdata::copy_dir(
        &tithon_testdata::shared("testdata/bucket").join(BLOCK),
        &bucket.path().join(BLOCK),
    );
    let mut flags = vec![format!("--id={BLOCK}"), format!("--tmp.dir={}", tmp.path().display())];
    flags.extend(configs.iter().map(|(name, yaml)| format!("--rewrite.{name}-config={yaml}")));
    flags.extend(more.iter().map(|flag| flag.to_string()));
    Bed { bucket, tmp, flags }
}

impl Bed {
    fn flags(&self) -> Vec<&str> {
        self.flags.iter().map(String::as_str).collect()
    }

    fn run(&self) -> String {
        told("rewrite", self.bucket.path(), &self.flags())
    }

    /// The blocks besides the one that was there.
    fn made(&self) -> Vec<PathBuf> {
        let all = names(self.bucket.path()).into_iter().filter(|name| name != BLOCK);
        all.map(|name| self.bucket.path().join(name)).collect()
    }

    fn change_log(&self) -> String {
        let dirs = names(self.tmp.path());
        let dir = dirs.iter().find(|name| *name != BLOCK).unwrap();
        std::fs::read_to_string(self.tmp.path().join(dir).join("change.log")).unwrap()
    }

    fn is_marked(&self) -> bool {
        self.bucket.path().join(BLOCK).join("deletion-mark.json").exists()
    }
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))[..16].to_owned()
}

/// A digest of every sample as text.
fn samples(block: &Path) -> String {
    let mut dump = Command::new(env!("CARGO_BIN_EXE_tithon"));
    let output = dump.args(["tools", "block", "dump"]).arg(block).output().unwrap();
    assert!(output.status.success());
    hash(&output.stdout)
}

fn check(configs: &[(&str, &str)], stats: (u64, u64), of_samples: &str, changes: &[&str], n_changes: usize) {
    let bed = bed(configs, &["--no-dry-run", "--delete-blocks", "--hash-func=SHA256"]);
    bed.run();
    let [block] = bed.made().try_into().unwrap();
    let meta = json(&block.join("meta.json"));
    assert_eq!(
        (&meta["stats"]["numSamples"], &meta["stats"]["numSeries"]),
        (&stats.0.into(), &stats.1.into())
    );
    assert_eq!(samples(&block), of_samples);
    let log = bed.change_log();
    assert_eq!(log.lines().count(), n_changes, "{log}");
    for change in changes {
        assert!(log.lines().any(|line| line == *change), "{change}: {log}");
    }
    let id = block.file_name().unwrap().to_str().unwrap();
    assert_eq!(meta["compaction"], json!({"level": 1, "sources": [id]}));
    assert_eq!(meta["thanos"]["source"], "bucket.rewrite");
    assert_eq!(meta["thanos"]["files"][1]["hash"]["hashFunc"], "SHA256");
    assert_eq!(meta["thanos"]["rewrites"][0]["sources"], json!([BLOCK]));
    let mark = json(&bed.bucket.path().join(BLOCK).join("deletion-mark.json"));
    assert_eq!(mark["details"], "block rewritten");
    all_visible_blocks_are_sound(bed.bucket.path());
}

#[test]
fn deletions_leave_what_thanos_leaves() {
    let line = "Deleted {__name__=\"go_goroutines\", instance=\"10.0.0.2:8080\", job=\"golden-app\", pod=\"app-1\"} \
                [{1714560000000 1714564680077} {1714564800077 1714571880077} {1714572000077 1714579080077} \
                {1714579200077 1714586280077} {1714586400077 1714593480077} {1714593600077 1714600000123} \
                {1714650000000 1714650100000}]";
    check(&[("to-delete", DELETE)], (39_750, 32), "54c10c327fec2f56", &[line], 18);
}

#[test]
fn relabelling_leaves_what_thanos_leaves() {
    check(&[("to-relabel", RELABEL)], (51_840, 36), "3d550d7adbb210f6", &[], 44);
}

#[test]
fn deletions_come_after_relabelling() {
    check(&[("to-relabel", RELABEL), ("to-delete", DELETE)], (31_880, 24), "dd7ceaa9a938aa51", &[], 64);
}

/// The rewrite as meta.json describes it is what Thanos writes.
#[test]
fn meta_json_tells_what_was_done() {
    let bed = bed(&[("to-relabel", RELABEL), ("to-delete", DELETE)], &["--no-dry-run"]);
    bed.run();
    assert!(!bed.is_marked());
    let meta = json(&bed.made()[0].join("meta.json"));
    let matcher = |r#type: u8, name: &str, value: &str| json!({"Type": r#type, "Name": name, "Value": value});
    let deletions = json!([
        {"matchers": [matcher(0, "__name__", "http_request_duration_seconds_bucket"), matcher(2, "le", "0.*")]},
        {
            "matchers": [matcher(2, "__name__", "up|go_goroutines"), matcher(1, "pod", "app-0")],
            "intervals": [
                {"Mint": 1_714_560_000_000_i64, "Maxt": 1_714_600_000_123_i64},
                {"Mint": 1_714_650_000_000_i64, "Maxt": 1_714_650_100_000_i64}
            ]
        },
        {"matchers": [matcher(1, "nonexistent", "x")]}
    ]);
    let step = |more: Value| {
        let mut step = json!({"separator": ";", "regex": "", "replacement": "$1", "action": "drop"});
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        step
    };
    let relabels = json!([
        step(json!({"source_labels": ["__name__", "code"], "regex": "http_requests_total;500"})),
        step(json!({
            "source_labels": ["pod"], "regex": "app-(.*)", "target_label": "pod", "replacement": "p$1", "action": "replace"
        })),
        step(json!({"regex": "method", "action": "labeldrop"})),
        step(json!({"source_labels": ["__name__"], "regex": "http_request_duration_seconds"})),
        step(json!({"regex": "(job)", "replacement": "x_${1}", "action": "labelmap"})),
    ]);
    let expected = json!([{
        "sources": [BLOCK], "deletions_applied": deletions, "relabels_applied": relabels
    }]);
    assert_eq!(meta["thanos"]["rewrites"], expected);
}

#[test]
fn a_dry_run_changes_nothing_and_tells_all() {
    let bed = bed(&[("to-delete", DELETE)], &[]);
    bed.run();
    assert_eq!(names(bed.bucket.path()), [BLOCK]);
    assert!(!bed.is_marked());
    assert_eq!(bed.change_log().lines().count(), 18);
}

#[test]
fn a_downsampled_block_loses_series_too() {
    let bed = bed(&[("to-delete", "- matchers: up")], &["--no-dry-run", "--id=01HWY69WW03S31SCAFM32EK5KS"]);
    let coarse = tithon_testdata::shared("testdata/bucket/01HWY69WW03S31SCAFM32EK5KS");
    tithon_testdata::copy_dir(&coarse, &bed.bucket.path().join("01HWY69WW03S31SCAFM32EK5KS"));
    bed.run();
    let new = bed.made().into_iter().map(|dir| json(&dir.join("meta.json")));
    let of_5m: Vec<Value> =
        new.filter(|meta| meta["thanos"]["downsample"]["resolution"] == 300_000).collect();
    let mut series: Vec<u64> =
        of_5m.iter().map(|meta| meta["stats"]["numSeries"].as_u64().unwrap()).collect();
    series.sort_unstable();
    assert_eq!(series.len(), 2);
    assert_eq!(series[1] - series[0], 4);
}

#[test]
fn a_block_without_labels_is_for_prometheus_only() {
    let strip = |bed: &Bed| {
        let path = bed.bucket.path().join(BLOCK).join("meta.json");
        let mut meta = json(&path);
        meta.as_object_mut().unwrap().remove("thanos");
        std::fs::write(path, meta.to_string()).unwrap();
    };
    let bed_of = |more: &[&str]| {
        let bed = bed(&[("to-delete", "- matchers: up")], &[&["--no-dry-run"], more].concat());
        strip(&bed);
        bed
    };
    let refusing = bed_of(&[]);
    assert!(
        refused("rewrite", refusing.bucket.path(), &refusing.flags()).contains("without external labels")
    );
    let taking = bed_of(&["--prom-blocks"]);
    taking.run();
    assert_eq!(taking.made().len(), 1);
}

#[test]
fn nothing_left_is_no_block() {
    let all = "- matchers: '{__name__=~\".+\"}'";
    let bed = bed(&[("to-delete", all)], &["--no-dry-run", "--delete-blocks"]);
    assert!(bed.run().contains("no sample is left"));
    assert_eq!(names(bed.bucket.path()), [BLOCK]);
    assert!(bed.is_marked());
}

#[test]
fn what_cannot_be_done_is_told() {
    for (configs, more, says) in [
        (&[][..], &[][..], "nothing to do"),
        (&[("to-delete", "- matchers: '{}'")], &[], "there are none"),
        (&[("to-relabel", "- action: rename")], &[], "unknown action"),
        (&[("to-delete", DELETE)], &["--id=01HWS4YAG00000000000000035"], "no such block"),
    ] {
        let bed = bed(configs, more);
        let error = refused("rewrite", bed.bucket.path(), &bed.flags());
        assert!(error.contains(says), "{says}: {error}");
    }
}

/// However often the tool is killed, the result is one new block, and the old block is marked only when the new one is
/// there.
#[test]
fn killed_again_and_again_it_makes_one_block() {
    let bed = bed(&[("to-delete", DELETE)], &["--no-dry-run", "--delete-blocks"]);
    again_and_again(
        || command("rewrite", bed.bucket.path(), &bed.flags()),
        || {
            all_visible_blocks_are_sound(bed.bucket.path());
            let visible = bed.made().into_iter().filter(|dir| dir.join("meta.json").exists()).count();
            assert!(visible <= 1 && (visible == 1 || !bed.is_marked()));
        },
    );
    let visible: Vec<PathBuf> = bed.made().into_iter().filter(|dir| dir.join("meta.json").exists()).collect();
    assert_eq!(visible.len(), 1);
    assert_eq!(samples(&visible[0]), "54c10c327fec2f56");
    assert!(bed.is_marked());
}
