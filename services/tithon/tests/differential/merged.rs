//! Blocks that promtool made from text, merged by `tools block compact` and opened by Debian's Prometheus: promtool
//! reads the samples of the text from them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use tithon_testdata::copy_dir;

use super::process::{TITHON, output};

#[test]
fn compacted_blocks_in_prometheus() {
    if !super::enabled() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // Replica a is down for half an hour; replica b begins later and scrapes 5 seconds after a.
    let a = Replica::make(dir.path(), "a", 0, |scrape| !(500..620).contains(&scrape));
    let b = Replica::make(dir.path(), "b", 5000, |scrape| scrape > 300);
    let both = [a.blocks.as_slice(), &b.blocks].concat();
    let all: BTreeSet<String> = a.lines.union(&b.lines).cloned().collect();

    assert!(compacted(dir.path(), "none", &a.blocks) == a.lines, "blocks in a row: samples differ");
    assert!(compacted(dir.path(), "one-to-one", &both) == all, "one-to-one: samples differ");
    let penalty = compacted(dir.path(), "penalty", &both);
    assert!(penalty.is_subset(&all), "penalty: samples that no replica has");
    let (ours, theirs) = (per_series(&penalty), per_series(&a.lines));
    assert_eq!(ours.len(), theirs.len());
    for (series, n) in &theirs {
        let found = ours[series];
        assert!(
            (n + 110..=n + 125).contains(&found),
            "penalty: {found} samples of {series}, {n} of one replica"
        );
    }
    println!(
        "prometheus: compacted blocks read back, {} + {} + {} samples",
        a.lines.len(),
        all.len(),
        penalty.len()
    );
}

/// Blocks of one Prometheus, and the expected lines of their dumps.
struct Replica {
    blocks: Vec<PathBuf>,
    lines: BTreeSet<String>,
}

const START_MS: i64 = 1_700_006_400_000;

impl Replica {
    /// Twenty counters and twenty gauges over five hours, with a sample every 15 s where `up` is true.
    fn make(dir: &Path, name: &str, shift_ms: i64, up: impl Fn(i64) -> bool) -> Replica {
        let (mut text, mut lines) =
            (String::from("# TYPE moved gauge\n# TYPE made counter\n"), BTreeSet::new());
        for n in 0..40i64 {
            let metric = if n < 20 { "moved" } else { "made_total" };
            for scrape in (0..5 * 240).filter(|scrape| up(*scrape)) {
                let value = if n < 20 { (scrape * 7919 + n * 104_729) % 1000 } else { scrape * (n - 19) };
                let t = START_MS + scrape * 15_000 + shift_ms;
                writeln!(text, "{metric}{{n=\"{n}\"}} {value}.25 {}.{:03}", t / 1000, t % 1000).unwrap();
                lines.insert(format!("{{__name__=\"{metric}\", n=\"{n}\"}} {value}.25 {t}"));
            }
        }
        text.push_str("# EOF\n");
        let (file, out) = (dir.join(format!("{name}.om")), dir.join(name));
        std::fs::write(&file, text).unwrap();
        std::fs::create_dir(&out).unwrap();
        let paths = (file.to_str().unwrap(), out.to_str().unwrap());
        output("promtool", &["tsdb", "create-blocks-from", "openmetrics", paths.0, paths.1]);
        let entries = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        let blocks: Vec<PathBuf> = entries.filter(|path| path.join("meta.json").exists()).collect();
        assert!(blocks.len() >= 2);
        Replica { blocks, lines }
    }
}

/// Merges the blocks; returns promtool's dump of the result, which equals our own dump.
fn compacted(dir: &Path, dedup: &str, inputs: &[PathBuf]) -> BTreeSet<String> {
    let out = dir.join(format!("out-{dedup}"));
    std::fs::create_dir(&out).unwrap();
    let (dedup, to) = (format!("--dedup={dedup}"), format!("--out={}", out.display()));
    let mut args = vec!["tools", "block", "compact", "--output=json", &dedup, &to];
    if dedup != "--dedup=none" {
        args.push("--replica-label=replica");
    }
    args.extend(inputs.iter().map(|path| path.to_str().unwrap()));
    let made: Value = serde_json::from_str(&output(TITHON, &args)).unwrap();
    let id = made["block"]["ulid"].as_str().unwrap().to_owned();
    let list = output("promtool", &["tsdb", "list", out.to_str().unwrap()]);
    assert!(list.contains(&id), "{list}");
    let block = out.join(&id);
    let samples = dumped(&block);
    let ours = output(TITHON, &["tools", "block", "dump", block.to_str().unwrap()]);
    let ours: BTreeSet<String> = ours.lines().map(str::to_owned).collect();
    assert!(ours == samples, "{dedup}: our dump and promtool's differ");
    samples
}

/// The lines that promtool dumps of a block.
fn dumped(block: &Path) -> BTreeSet<String> {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(block, &dir.path().join(block.file_name().unwrap()));
    // promtool needs a data directory.
    std::fs::create_dir(dir.path().join("wal")).unwrap();
    let dump = output("promtool", &["tsdb", "dump", dir.path().to_str().unwrap()]);
    dump.lines().map(str::to_owned).collect()
}

fn per_series(lines: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let labels = line.rsplit_once(' ').and_then(|(rest, _)| rest.rsplit_once(' ')).unwrap().0;
        *counts.entry(labels.to_owned()).or_default() += 1;
    }
    counts
}
