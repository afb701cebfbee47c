//! Selections of upstream's index, compared with the program's answers over HTTP: every recorded matcher list through
//! `/api/v1/series`, every label through `/api/v1/label/<name>/values`; and promtool's counts against ours.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tithon_chunks::TimeRange;
use tithon_index::{Cardinality, IndexHeader, IndexReader, MatchOp, Matcher, SeriesDecoder, SeriesEntry};
use tithon_testdata::{copy_dir, json_lines, shared};

use super::process::{Server, output};

/// The id of a golden block.
fn ulid(block: &Path) -> String {
    let meta: Value = serde_json::from_slice(&std::fs::read(block.join("meta.json")).unwrap()).unwrap();
    meta["ulid"].as_str().unwrap().to_owned()
}

/// A directory with a copy of one golden block in it.
fn alone(block: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(block, &dir.path().join(ulid(block)));
    dir
}

fn index(block: &Path) -> IndexReader {
    IndexReader::open(std::fs::read(block.join("index")).unwrap().into()).unwrap()
}

type LabelSet = BTreeMap<String, String>;

/// The id that upstream's index has for each label set.
fn ids(block: &Path) -> HashMap<LabelSet, u64> {
    let reader = index(block);
    let (mut entry, mut decoder) = (SeriesEntry::default(), SeriesDecoder::new(reader.header()));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut ids = HashMap::new();
    for id in reader.postings(&[], 0).unwrap().iter() {
        reader.series(id, TimeRange::ALL, &mut entry).unwrap();
        let pairs = decoder.pairs(&entry).unwrap();
        ids.insert(pairs.iter().map(|(n, v)| (text(n), text(v))).collect(), u64::from(id.0));
    }
    ids
}

fn matcher(m: &Value) -> Matcher {
    let op = match m[1].as_str().unwrap() {
        "=" => MatchOp::Equal,
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        op => panic!("operator {op}"),
    };
    Matcher::new(op, m[0].as_str().unwrap(), m[2].as_str().unwrap()).unwrap()
}

/// The matchers in PromQL, which accepts U+FFFD only escaped.
fn selector(matchers: &[Matcher]) -> String {
    let matchers: Vec<String> = matchers.iter().map(Matcher::to_string).collect();
    format!("{{{}}}", matchers.join(",")).replace('\u{fffd}', "\\ufffd")
}

/// Matcher lists that select more series are many and similar: one in [`EVERY`] of them is queried.
const MANY: u64 = 5_000;
const EVERY: usize = 6;

/// Queries the recorded matcher lists; returns the number of queries.
fn check_matchers(server: &Server, set: &str, ids: &HashMap<LabelSet, u64>) -> usize {
    let names: BTreeSet<&String> = ids.keys().flat_map(BTreeMap::keys).collect();
    let present = |name| Matcher::new(MatchOp::NotEqual, name, "").unwrap();
    let present: Vec<Matcher> = names.into_iter().map(present).collect();
    let lines = json_lines(&format!("testdata/blocks/{set}.matchers.jsonl.zst"));
    let (few, many): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line["count"].as_u64() <= Some(MANY));
    let asked: Vec<&Value> = few.into_iter().chain(many.into_iter().step_by(EVERY)).collect();
    for line in &asked {
        let matchers: Vec<Matcher> = line["matchers"].as_array().unwrap().iter().map(matcher).collect();
        let mut selectors = vec![selector(&matchers)];
        if matchers.iter().all(Matcher::matches_empty) {
            // The API refuses such a list alone: it is queried together with each existing label.
            let refused = server.get("/api/v1/series", &[("match[]", &selectors[0])]);
            assert_eq!(refused["errorType"], "bad_data", "{matchers:?}");
            let with = |label: &Matcher| selector(&[&matchers[..], std::slice::from_ref(label)].concat());
            selectors = present.iter().map(with).collect();
        }
        let params: Vec<(&str, &str)> = selectors.iter().map(|s| ("match[]", s.as_str())).collect();
        let body = server.text("/api/v1/series", &params);
        let found: Found = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{selectors:?}: {e}"));
        let mut found: Vec<u64> = found.data.iter().map(|labels| ids[labels]).collect();
        found.sort_unstable();
        let bytes: Vec<u8> = found.iter().flat_map(|id| id.to_le_bytes()).collect();
        let sha256 = hex::encode(Sha256::digest(&bytes));
        assert_eq!(line["count"], found.len(), "{matchers:?}");
        assert_eq!(line["ids_sha256"], sha256, "{matchers:?}");
    }
    asked.len()
}

/// The answer of `/api/v1/series`.
#[derive(serde::Deserialize)]
struct Found {
    data: Vec<LabelSet>,
}

/// Queries the values of every recorded label, and the names; returns the number of labels.
fn check_values(server: &Server, set: &str) -> usize {
    let mut names = vec![];
    for line in json_lines(&format!("testdata/blocks/{set}.label-values.jsonl.zst")) {
        let name = line["label_name"].as_str().unwrap();
        let answer = server.get(&format!("/api/v1/label/{}/values", path_name(name)), &[]);
        let values = answer["data"].as_array().unwrap_or_else(|| panic!("{name}: {answer}"));
        assert_eq!(line["count"], values.len(), "{name}");
        for (value, expected) in values.iter().zip(line["values"].as_array().into_iter().flatten()) {
            assert_eq!(value, expected, "{name}");
        }
        names.push(name.to_owned());
    }
    let answer = server.get("/api/v1/labels", &[]);
    assert_eq!(answer["data"], Value::from(names.as_slice()));
    names.len()
}

/// A label name in a URL's path: names that old versions of Prometheus refuse are escaped as `U__`.
fn path_name(name: &str) -> String {
    let plain = |i: usize, c: char| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit());
    if name.char_indices().all(|(i, c)| plain(i, c)) && !name.starts_with("U__") {
        return name.to_owned();
    }
    let escape = |(i, c): (usize, char)| match c {
        '_' => "__".to_owned(),
        c if plain(i, c) => c.to_string(),
        c => format!("_{:x}_", u32::from(c)),
    };
    format!("U__{}", name.char_indices().map(escape).collect::<String>())
}

#[test]
fn recorded_matchers_and_label_values_over_http() {
    if !super::enabled() {
        return;
    }
    let (mut lists, mut labels) = (0, 0);
    for set in ["xor-shapes", "wide"] {
        let block = shared(&format!("testdata/blocks/{set}"));
        let bucket = alone(&block);
        let server = Server::standalone(&[&format!("--bucket-dir={}", bucket.path().display())]);
        lists += check_matchers(&server, set, &ids(&block));
        labels += check_values(&server, set);
    }
    println!("{lists} matcher lists and {labels} labels are as recorded");
    assert!(lists > 900 && labels == 35, "{lists} lists, {labels} labels");
}

/// The output of `promtool tsdb analyze`: the lines below each title, in byte order; the counts at the top are below no
/// title.
fn analyze(dir: &Path, block: &str) -> HashMap<String, Vec<String>> {
    const TITLES: [&str; 6] = [
        "Label pairs most involved in churning:",
        "Label names most involved in churning:",
        "Most common label pairs:",
        "Label names with highest cumulative label value length:",
        "Highest cardinality labels:",
        "Highest cardinality metric names:",
    ];
    let dir = dir.display().to_string();
    let text = output("promtool", &["tsdb", "analyze", "--limit=1000000", &dir, block]);
    let (mut sections, mut title) = (HashMap::<String, Vec<String>>::new(), "");
    for line in text.lines() {
        match TITLES.iter().find(|title| **title == line) {
            Some(found) => title = found,
            None => sections.entry(title.to_owned()).or_default().push(line.to_owned()),
        }
    }
    sections.values_mut().for_each(sort_lines);
    sections
}

fn sort_lines(lines: &mut Vec<String>) {
    lines.retain(|line| !line.is_empty());
    lines.sort_unstable();
}

/// Lines as promtool prints them: a value with a line break makes two lines.
fn lines(counts: impl Iterator<Item = (u64, String)>) -> Vec<String> {
    let text: String = counts.map(|(count, of)| format!("{count} {of}\n")).collect();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    sort_lines(&mut lines);
    lines
}

/// Compares all counts of promtool with those of our postings offset table.
fn check_counts(block: &Path) {
    let dir = alone(block);
    std::fs::create_dir(dir.path().join("wal")).unwrap();
    let sections = analyze(dir.path(), &ulid(block));
    let header = IndexHeader::from_index(&std::fs::read(block.join("index")).unwrap().into()).unwrap();
    let ours = Cardinality::of(&header, usize::MAX).unwrap();
    let entries: u64 = ours.names.iter().map(|name| name.series).sum();
    let counts = [
        format!("Series: {}", ours.series),
        format!("Label names: {}", ours.names.len()),
        format!("Postings (unique label pairs): {}", ours.pairs),
        format!("Postings entries (total label pairs): {entries}"),
    ];
    for count in &counts {
        assert!(sections[""].contains(count), "{}: {count}: {:?}", block.display(), sections[""]);
    }
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (pairs, metrics, names) = (ours.top_pairs.iter(), ours.top_metrics.iter(), ours.names.iter());
    let expected = [
        (
            "Most common label pairs:",
            lines(pairs.map(|p| (p.series, format!("{}={}", text(&p.name), text(&p.value))))),
        ),
        ("Highest cardinality metric names:", lines(metrics.map(|p| (p.series, text(&p.value))))),
        (
            "Label names with highest cumulative label value length:",
            lines(names.clone().map(|n| (n.value_bytes, text(&n.name)))),
        ),
        ("Highest cardinality labels:", lines(names.map(|n| (n.values, text(&n.name))))),
    ];
    for (what, lines) in expected {
        assert_eq!(sections[what], lines, "{}: {what}", block.display());
    }
}

#[test]
fn promtool_counts_what_the_offset_table_tells() {
    if !super::enabled() {
        return;
    }
    for set in ["wide", "xor-shapes", "histograms", "multi-segment", "real-2022", "tombstones"] {
        check_counts(&shared(&format!("testdata/blocks/{set}")));
    }
}
