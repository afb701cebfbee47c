//! Replays the seeds in `corpus/`, a folder a target, as `cargo fuzz` would.

use std::collections::BTreeSet;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};
use tithon_fuzz::{
    chunks, deletion, evaluate, frame, head, histograms, http1, index, parquet, promql, template,
};

type Body = fn(&[u8]);

const TARGETS: [(&str, Body); 19] = [
    ("bucket_deletion", deletion::parse_request),
    ("chunks_decode", chunks::decode_chunk),
    ("chunks_segment", chunks::open_segment),
    ("chunks_round_trip", |data| chunks::round_trip(&made_of::<Vec<_>>(data))),
    ("chunks_histograms", |data| histograms::round_trip(&made_of::<Vec<_>>(data))),
    ("http1_answer", http1::read_answer),
    ("index_open", index::index_open),
    ("index_audit", index::index_audit),
    ("index_header", index::index_header),
    ("index_series_entry", index::series_entry),
    ("index_matcher", index::matcher),
    ("index_sets", |data| index::set_operations(&made_of(data))),
    ("parquet_import", parquet::read_file),
    ("promql_evaluate", |data| _ = evaluate::evaluate(data)),
    ("promql_parse", promql::parse_bytes),
    ("proto_frame", frame::read_frame),
    ("rule_template", template::expand_bytes),
    ("wal_segment", head::wal_segment),
    ("wal_record", head::wal_record),
];

/// A value as libFuzzer makes it of the bytes.
fn made_of<'a, T: Arbitrary<'a>>(data: &'a [u8]) -> T {
    T::arbitrary_take_rest(Unstructured::new(data)).expect("any bytes make a value")
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let name =
        |entry: std::fs::DirEntry| entry.path().file_stem().map(|stem| stem.to_string_lossy().into_owned());
    entries.filter_map(|entry| name(entry.expect("the folder can be read"))).collect()
}

#[test]
fn every_target_has_seeds_that_replay() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names_in(&root.join("fuzz_targets")), listed);
    assert_eq!(names_in(&root.join("corpus")), listed);
    for (name, body) in TARGETS {
        let mut seeds = 0;
        for entry in std::fs::read_dir(root.join("corpus").join(name)).expect("the folder is there") {
            let path = entry.expect("the folder can be read").path();
            body(&std::fs::read(path).expect("the seed can be read"));
            seeds += 1;
        }
        assert!(seeds >= 4, "{name} has {seeds} seeds");
    }
}
