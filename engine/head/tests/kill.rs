//! Processes that are killed while they append: what they said was appended is there afterwards, once.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tithon_chunks::{TimeRange, decode_exact};
use tithon_engine::{BlockId, SelectRequest};
use tithon_head::{Compression, Db, DbOptions, HeadOptions, NewSample, NewValue, WalOptions};
use tithon_index::Labels;

const SERIES: i64 = 4;

fn options() -> DbOptions {
    let wal = WalOptions { compression: Compression::Snappy, segment_bytes: 64 << 10 };
    DbOptions { head: HeadOptions { range_ms: 2000, wal }, retention_ms: 0, has_lock: true }
}

/// The times of the samples of each series.
fn times(db: &Db) -> Vec<Vec<i64>> {
    let mut select = db.select(SelectRequest::new(vec![], TimeRange::ALL));
    let mut all = Vec::new();
    while let Some(batch) = select.next_batch(100).unwrap() {
        for series in batch.series {
            let mut samples = Vec::new();
            series
                .chunks
                .iter()
                .for_each(|chunk| decode_exact(chunk.encoding, &chunk.data, &mut samples).unwrap());
            all.push(samples.iter().map(|sample| sample.t.0).collect());
        }
    }
    all
}

/// The other process: reads a folder from its standard input and appends to it until it is killed.
#[test]
#[ignore = "started by the other test"]
fn appender() {
    let mut dir = String::new();
    std::io::stdin().read_line(&mut dir).unwrap();
    let (db, _) = Db::open(Path::new(dir.trim_end()), options()).unwrap();
    let mut id = db.blocks().len() as u64 + 1;
    let from = db.head().stats().max_time.map_or(0, |max| max + 1);
    for t in from.. {
        let names: Vec<Labels> =
            (0..SERIES).map(|i| Labels::from_pairs([("__name__", format!("m{i}"))])).collect();
        let samples = names.iter().map(|labels| NewSample { labels, t, value: NewValue::Float(t as f64) });
        assert_eq!(db.head().append(samples).unwrap(), []);
        println!("appended {t}");
        if t % 50 == 0 {
            db.maintain(|| {
                id += 1;
                BlockId::from_parts(id, t as u128)
            })
            .unwrap();
        }
    }
}

fn start(dir: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "appender", "--nocapture"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{}", dir.display()).unwrap();
    child
}

#[test]
fn nothing_that_was_appended_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (mut acknowledged, mut n_blocks) = (-1, 0);
    for round in 0..12 {
        let mut child = start(dir.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let appended = |line: String| line.split("appended ").nth(1)?.parse::<i64>().ok();
        let mut left = 400 + round * 157;
        while left > 0 {
            acknowledged = lines.by_ref().find_map(appended).unwrap();
            left -= 1;
        }
        child.kill().unwrap();
        // What it wrote before it died counts too.
        acknowledged = lines.filter_map(appended).last().unwrap_or(acknowledged);
        child.wait().unwrap();

        let (db, opened) = Db::open(dir.path(), options()).unwrap();
        assert!(opened.faulty.is_empty(), "{opened:?}");
        let all = times(&db);
        assert_eq!(all.len() as i64, SERIES);
        for times in all {
            let last = times.len() as i64 - 1;
            assert!((acknowledged..=acknowledged + 1).contains(&last), "{last}, acknowledged {acknowledged}");
            assert!(times.into_iter().eq(0..=last), "each sample once");
        }
        n_blocks = db.blocks().len();
    }
    assert!(n_blocks > 2, "{n_blocks}");
}
