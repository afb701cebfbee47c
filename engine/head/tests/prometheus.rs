//! Debian's Prometheus opens what is written here, and what it writes is read here.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tithon_chunks::{SampleValue, TimeRange, decode_exact};
use tithon_engine::{Block, BlockId, SelectRequest};
use tithon_head::{Compression, Db, DbOptions, HeadOptions, NewSample, NewValue, WalOptions};
use tithon_index::Labels;
use tithon_testdata::free_port;

fn options(compression: Compression) -> DbOptions {
    let wal = WalOptions { compression, segment_bytes: 256 << 10 };
    DbOptions { head: HeadOptions { range_ms: 7_200_000, wal }, retention_ms: 0, has_lock: false }
}

/// Whether a program of the system is there; in CI, where `TITHON_SERVERS=1`, it must be.
#[allow(clippy::disallowed_methods, reason = "tells tests what must be installed")]
fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    assert!(found || std::env::var_os("TITHON_SERVERS").is_none(), "{program} is not installed");
    found
}

fn promtool(args: &[&str], dir: &Path) -> String {
    let output = Command::new("promtool").args(args).arg(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

type Samples = BTreeMap<String, Vec<(i64, String)>>;

/// What `promtool tsdb dump` prints of a directory, log included: `{labels} value time`.
fn dumped(dir: &Path) -> Samples {
    let mut all = Samples::new();
    for line in promtool(&["tsdb", "dump"], dir).lines() {
        let mut parts = line.rsplitn(3, ' ');
        let (t, value, labels) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        all.entry(labels.to_owned()).or_default().push((t.parse().unwrap(), value.to_owned()));
    }
    all
}

/// The same of ours, for whole numbers.
fn ours(db: &Db) -> Samples {
    let mut select = db.select(SelectRequest::new(vec![], TimeRange::ALL));
    let mut all = Samples::new();
    while let Some(batch) = select.next_batch(1000).unwrap() {
        for series in batch.series {
            let mut samples = Vec::new();
            for chunk in &series.chunks {
                decode_exact(chunk.encoding, &chunk.data, &mut samples).unwrap();
            }
            let pairs = samples.into_iter().map(|sample| match sample.value {
                SampleValue::Float(value) => (sample.t.0, value.to_string()),
                other => panic!("{other:?}"),
            });
            all.insert(series.labels.to_string(), pairs.collect());
        }
    }
    all
}

#[test]
fn prometheus_reads_our_log_and_blocks() {
    if !is_there("promtool") {
        return;
    }
    for compression in [Compression::None, Compression::Snappy] {
        let dir = tempfile::tempdir().unwrap();
        let (db, _) = Db::open(dir.path(), options(compression)).unwrap();
        let mut id = 0;
        for t in 0..1500 {
            let names: Vec<Labels> = (0..20)
                .map(|i| Labels::from_pairs([("__name__", "m".to_owned()), ("i", format!("{i} \"x\""))]))
                .collect();
            let samples = names.iter().map(|labels| NewSample {
                labels,
                t: t * 15_000 + 1_700_000_000_000,
                value: NewValue::Float(t as f64),
            });
            assert_eq!(db.head().append(samples).unwrap(), []);
            if t % 100 == 0 {
                db.maintain(|| {
                    id += 1;
                    BlockId::from_parts(1_700_000_000_000 + id, id.into())
                })
                .unwrap();
            }
        }
        assert!(db.blocks().len() > 1);
        let expected = ours(&db);
        assert_eq!(expected.values().map(Vec::len).sum::<usize>(), 30_000);
        drop(db);
        assert_eq!(dumped(dir.path()), expected);
        let list = promtool(&["tsdb", "list"], dir.path());
        assert_eq!(list.lines().count(), 1 + id as usize, "{list}");
        assert!(promtool(&["tsdb", "analyze"], dir.path()).contains("Series: 20\n"));
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn we_read_the_log_of_a_prometheus_that_was_killed() {
    if !is_there("prometheus") {
        return;
    }
    let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
    let config = format!(
        "global: {{scrape_interval: 100ms, scrape_timeout: 90ms}}\n\
         scrape_configs: [{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    );
    std::fs::write(dir.path().join("prometheus.yml"), config).unwrap();
    let data = dir.path().join("data");
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", dir.path().join("prometheus.yml").display()));
    command.arg(format!("--storage.tsdb.path={}", data.display()));
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let server = Killed(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let segment = data.join("wal/00000000");
    while std::fs::metadata(&segment).map_or(0, |meta| meta.len()) < 200_000 {
        std::thread::yield_now();
    }
    drop(server);
    let copy = tempfile::tempdir().unwrap();
    tithon_testdata::copy_dir(&data, copy.path());
    let (db, opened) = Db::open(copy.path(), options(Compression::Snappy)).unwrap();
    assert!(opened.replayed.series > 100 && opened.replayed.samples > 1000, "{opened:?}");
    let found = ours(&db);
    // promtool prints floats in another form: times are compared, and how many there are.
    let theirs = dumped(&data);
    assert_eq!(found.len(), theirs.len());
    for (labels, samples) in &theirs {
        let times = |samples: &[(i64, String)]| samples.iter().map(|(t, _)| *t).collect::<Vec<_>>();
        assert_eq!(times(&found[labels]), times(samples), "{labels}");
    }
}

/// Blocks that promtool makes of text have the same chunks as those that a head of ours cuts. They are less than 1 KiB: Debian's
/// version does not cut longer ones yet.
#[test]
fn blocks_are_those_that_promtool_makes() {
    if !is_there("promtool") {
        return;
    }
    let (text_dir, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (db, _) = Db::open(dir.path(), options(Compression::Snappy)).unwrap();
    let names: Vec<Labels> = (0..7)
        .map(|i| {
            Labels::from_pairs([
                ("__name__", "m".to_owned()),
                ("job", format!("j{}", i % 3)),
                ("i", i.to_string()),
            ])
        })
        .collect();
    let start = 1_699_999_200_000;
    let mut text = String::new();
    for step in 0..479 {
        // Values that repeat, grow, and jump about; times that are late now and then.
        let samples: Vec<(i64, f64)> = (0..7i64)
            .map(|i| {
                let late = if (step * 31 + i * 17) % 97 < 9 { 7 } else { 0 };
                let value = [1.5, step as f64, (step * step % 61) as f64 / 4.0][i as usize % 3];
                (start + step * 15_000 + late, value)
            })
            .collect();
        for (labels, (t, value)) in names.iter().zip(&samples) {
            let pairs: Vec<String> = labels
                .iter()
                .filter(|(name, _)| *name != b"__name__")
                .map(|(name, value)| {
                    format!("{}=\"{}\"", String::from_utf8_lossy(name), String::from_utf8_lossy(value))
                })
                .collect();
            text.push_str(&format!("m{{{}}} {value} {}.{:03}\n", pairs.join(","), t / 1000, t % 1000));
        }
        let new = names.iter().zip(&samples);
        let new = new.map(|(labels, (t, value))| NewSample { labels, t: *t, value: NewValue::Float(*value) });
        assert_eq!(db.head().append(new).unwrap(), []);
    }
    text.push_str("# EOF\n");
    std::fs::write(text_dir.path().join("text"), text).unwrap();
    let made = text_dir.path().join("blocks");
    let output = Command::new("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([text_dir.path().join("text"), made.clone()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let later = NewSample { labels: &names[0], t: start + 4 * 3_600_000, value: NewValue::Float(0.0) };
    db.head().append([later]).unwrap();
    let id = BlockId::from_parts(1, 1);
    assert_eq!(db.maintain(|| id).unwrap().cut.len(), 1);
    let theirs = std::fs::read_dir(&made).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    let selected = |dir: &Path| {
        let block = Block::open(dir).unwrap();
        let select = block.select(SelectRequest::new(vec![], TimeRange::ALL));
        select.flat_map(|batch| batch.unwrap().series).collect::<Vec<_>>()
    };
    let (ours, theirs) = (selected(&dir.path().join(id.to_string())), selected(&theirs));
    assert_eq!((ours.len(), theirs.len()), (7, 7));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!((&ours.labels, ours.chunks.len()), (&theirs.labels, theirs.chunks.len()));
        for (a, b) in ours.chunks.iter().zip(&theirs.chunks) {
            // Writers before 3.0 left a zero byte where the last bits end with a byte.
            let is_same = a.data == b.data || [&a.data[..], &[0]].concat() == b.data;
            assert!(is_same && a.range() == b.range(), "{} {:?} {:?}", ours.labels, a.range(), b.range());
        }
    }
}
