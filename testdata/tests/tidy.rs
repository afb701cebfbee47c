//! The shape of the project, checked: edges between crates, file headers, where unsafe may stand.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tithon_testdata::project_root;

/// Every edge that ARCHITECTURE.md allows. Development-only edges are free.
const EDGES: &[(&str, &[&str])] = &[
    ("tithon-chunks", &[]),
    ("tithon-index", &["tithon-chunks"]),
    ("tithon-engine", &["tithon-chunks", "tithon-index"]),
    ("tithon-promql", &["tithon-chunks", "tithon-index"]),
    ("tithon-head", &["tithon-chunks", "tithon-index", "tithon-engine"]),
    ("tithon-parquet", &["tithon-chunks", "tithon-index", "tithon-engine"]),
    ("tithon-synthetic", &["tithon-chunks", "tithon-index", "tithon-engine"]),
    ("tithon-proto", &["tithon-chunks", "tithon-index", "tithon-engine", "tithon-promql"]),
    ("tithon-bucket", &["tithon-chunks", "tithon-index", "tithon-engine", "tithon-runtime"]),
    ("tithon-runtime", &["tithon-chunks"]),
    ("tithon-trace", &["tithon-runtime"]),
    ("tithon-profile", &[]),
    (
        "tithon-storeapi",
        &[
            "tithon-chunks",
            "tithon-index",
            "tithon-engine",
            "tithon-promql",
            "tithon-proto",
            "tithon-runtime",
        ],
    ),
    (
        "tithon-store",
        &[
            "tithon-chunks",
            "tithon-index",
            "tithon-engine",
            "tithon-bucket",
            "tithon-proto",
            "tithon-runtime",
            "tithon-storeapi",
        ],
    ),
    (
        "tithon-compact",
        &[
            "tithon-chunks",
            "tithon-index",
            "tithon-engine",
            "tithon-bucket",
            "tithon-proto",
            "tithon-runtime",
        ],
    ),
    ("tithon-ship", &["tithon-index", "tithon-engine", "tithon-bucket", "tithon-runtime"]),
    (
        "tithon-tsdb",
        &[
            "tithon-chunks",
            "tithon-index",
            "tithon-engine",
            "tithon-head",
            "tithon-runtime",
            "tithon-storeapi",
        ],
    ),
    (
        "tithon-sidecar",
        &[
            "tithon-chunks",
            "tithon-index",
            "tithon-engine",
            "tithon-proto",
            "tithon-runtime",
            "tithon-ship",
            "tithon-storeapi",
        ],
    ),
    (
        "tithon-rule",
        &[
            "tithon-chunks",
            "tithon-index",
            "tithon-engine",
            "tithon-promql",
            "tithon-proto",
            "tithon-runtime",
            "tithon-storeapi",
            "tithon-tsdb",
        ],
    ),
    (
        "tithon-query",
        &[
            "tithon-chunks",
            "tithon-index",
            "tithon-engine",
            "tithon-promql",
            "tithon-runtime",
            "tithon-storeapi",
        ],
    ),
    ("tithon-bench", &["tithon-engine", "tithon-synthetic", "tithon-proto"]),
    (
        "tithon-conformance",
        &["tithon-chunks", "tithon-index", "tithon-engine", "tithon-proto", "tithon-runtime"],
    ),
    (
        "tithon",
        &[
            "tithon-chunks",
            "tithon-index",
            "tithon-engine",
            "tithon-promql",
            "tithon-proto",
            "tithon-bucket",
            "tithon-runtime",
            "tithon-trace",
            "tithon-profile",
            "tithon-storeapi",
            "tithon-store",
            "tithon-compact",
            "tithon-query",
            "tithon-ship",
            "tithon-tsdb",
            "tithon-sidecar",
            "tithon-rule",
            "tithon-parquet",
            "tithon-synthetic",
            "tithon-bench",
            "tithon-conformance",
        ],
    ),
    ("tithon-testdata", &[]),
    (
        "tithon-benches",
        &[
            "tithon-chunks",
            "tithon-index",
            "tithon-engine",
            "tithon-promql",
            "tithon-synthetic",
            "tithon-testdata",
        ],
    ),
    (
        "tithon-fuzz",
        &[
            "tithon-chunks",
            "tithon-index",
            "tithon-engine",
            "tithon-promql",
            "tithon-head",
            "tithon-parquet",
            "tithon-proto",
            "tithon-bucket",
            "tithon-rule",
            "tithon-runtime",
        ],
    ),
];

/// Libraries that must not reach the crates below `services/`.
const ENGINE_MUST_NOT: &[&str] = &["tokio", "tonic", "object_store", "axum"];

#[test]
fn edges_between_crates_are_those_of_the_table() {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(project_root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_string()])
        .exec()
        .expect("cargo metadata");
    let ours: BTreeSet<String> = metadata.packages.iter().map(|p| p.name.to_string()).collect();
    let known: BTreeSet<String> = EDGES.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(ours, known, "crates of the workspace and of the table");
    for package in &metadata.packages {
        let allowed =
            EDGES.iter().find(|(name, _)| *name == package.name.as_str()).expect("compared above").1;
        for dependency in &package.dependencies {
            if dependency.kind == cargo_metadata::DependencyKind::Development {
                continue;
            }
            let name = dependency.name.as_str();
            assert!(
                !ours.contains(name) || allowed.contains(&name),
                "{} must not depend on {name}",
                package.name
            );
            if ["tithon-chunks", "tithon-index", "tithon-engine", "tithon-promql", "tithon-head"]
                .contains(&package.name.as_str())
            {
                assert!(!ENGINE_MUST_NOT.contains(&name), "{} must not depend on {name}", package.name);
            }
        }
    }
}

#[test]
fn every_file_begins_with_a_header() {
    for file in rust_files() {
        let text = fs::read_to_string(&file).expect("source file");
        assert!(text.starts_with("//!"), "{}: no //! header on the first line", file.display());
    }
}

#[test]
fn unsafe_stands_in_five_places_only() {
    let lets = |path: &str| {
        path.starts_with("chunks/src/kernel")
            || path.starts_with("index/src/kernel")
            || path == "engine/promql/src/kernel.rs"
            || path.starts_with("engine/src/mmap")
            || path == "services/profile/src/allocator.rs"
    };
    for file in rust_files() {
        let path =
            file.strip_prefix(project_root()).expect("below the root").to_string_lossy().replace('\\', "/");
        if lets(&path) || path.contains("/tests/") || path == "testdata/tests/tidy.rs" {
            continue;
        }
        let text = fs::read_to_string(&file).expect("source file");
        assert!(!text.contains("allow(unsafe_code)"), "{path}: unsafe code is allowed elsewhere only");
    }
}

/// Crates that know the messages of StoreAPI; the last one measures servers, ours and others, from outside.
const KNOW_THE_WIRE: &[&str] =
    &["services/proto/", "services/storeapi/", "services/bench/", "services/conformance/"];

#[test]
fn wire_types_stay_in_proto_and_storeapi() {
    for (path, text) in sources() {
        if KNOW_THE_WIRE.iter().any(|dir| path.starts_with(dir)) {
            continue;
        }
        for needle in [concat!("tithon_proto", "::thanos"), concat!("tithon_proto", "::hintspb")] {
            assert!(!text.contains(needle), "{path}: uses {needle}");
        }
    }
}

/// Files, by the start of their paths, that may name gRPC codes: the map from kinds of errors, the metrics and the log of calls, and
/// the rules that say which code a server under examination has to answer with.
const KNOW_THE_CODES: &[&str] = &[
    "services/runtime/src/status.rs",
    "services/runtime/src/calls",
    "services/runtime/src/request_log/grpc.rs",
    "services/conformance/src/rules",
];

#[test]
fn grpc_codes_stay_in_to_status() {
    const MADE: &[&str] = &[
        "new(",
        "cancelled(",
        "unknown(",
        "invalid_argument(",
        "deadline_exceeded(",
        "not_found(",
        "already_exists(",
        "permission_denied(",
        "resource_exhausted(",
        "failed_precondition(",
        "aborted(",
        "out_of_range(",
        "unimplemented(",
        "internal(",
        "unavailable(",
        "data_loss(",
        "unauthenticated(",
    ];
    for (path, text) in sources() {
        if KNOW_THE_CODES.iter().any(|known| path.starts_with(known)) {
            continue;
        }
        for (at, _) in text.match_indices(concat!("Status", "::")) {
            let (before, after) = (text[..at].chars().next_back(), &text[at + 8..]);
            let is_grpc = before.is_none_or(|c| !c.is_alphanumeric());
            let made = MADE.iter().find(|made| after.starts_with(**made));
            assert!(!is_grpc || made.is_none(), "{path}: makes a status; use tithon_runtime::to_status");
        }
        assert!(!text.contains(concat!("tonic", "::Code")), "{path}: names a gRPC code");
    }
}

/// Sources other than tests and benches, by their path below the root.
fn sources() -> impl Iterator<Item = (String, String)> {
    rust_files().into_iter().filter_map(|file| {
        let path = file.strip_prefix(project_root()).expect("below the root");
        let path = path.to_string_lossy().replace('\\', "/");
        let is_test = path.split('/').any(|part| part == "tests" || part == "benches");
        (!is_test).then(|| (path, fs::read_to_string(&file).expect("source file")))
    })
}

#[test]
fn no_path_of_a_machine_in_the_sources() {
    for file in rust_files() {
        let text = fs::read_to_string(&file).expect("source file");
        for needle in [concat!("/wo", "rk/"), concat!("/ro", "ot/")] {
            assert!(!text.contains(needle), "{}: holds {needle}", file.display());
        }
    }
}

fn rust_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for top in ["chunks", "index", "engine", "services", "testdata", "benches", "fuzz"] {
        walk(&project_root().join(top), &mut found);
    }
    assert!(found.len() > 20, "the walk finds the sources");
    found
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("readable folder") {
        let path = entry.expect("entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            // Generated code has a header of its generator's.
            if !["target", "gen", "corpus"].contains(&name.as_str()) {
                walk(&path, found);
            }
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}
