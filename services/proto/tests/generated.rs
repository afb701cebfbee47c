//! The committed code in `src/gen` is what the `.proto` files give. With `TITHON_REGENERATE=1` this writes it instead.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};

/// String fields that hold what users named; Go passes any bytes in them, so we take them as bytes.
const AS_BYTES: &[(&str, &[&str])] = &[
    ("Label", &["name", "value"]),
    ("LabelMatcher", &["name", "value"]),
    ("LabelNamesResponse", &["names"]),
    ("LabelValuesRequest", &["label"]),
    ("LabelValuesResponse", &["values"]),
    ("WriteV2Request", &["symbols"]),
];

const FILES: &[&str] = &[
    "labels.proto",
    "types.proto",
    "prompb.proto",
    "store.proto",
    "hints.proto",
    "info.proto",
    "query.proto",
    "rules.proto",
    "targets.proto",
    "metadata.proto",
    "exemplars.proto",
    "status.proto",
    "parts.proto",
];

fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn descriptors(with_comments: bool) -> FileDescriptorSet {
    let mut compiler = protox::Compiler::new([crate_dir().join("proto")]).unwrap();
    compiler.include_imports(true).include_source_info(with_comments);
    compiler.open_files(FILES).unwrap();
    compiler.file_descriptor_set()
}

fn strings_to_bytes(message: &mut DescriptorProto) {
    let Some((_, fields)) = AS_BYTES.iter().find(|(name, _)| *name == message.name()) else { return };
    for field in &mut message.field {
        if fields.contains(&field.name()) {
            field.set_type(Type::Bytes);
        }
    }
}

fn generate(out: &Path) {
    std::fs::write(out.join("descriptors.bin"), descriptors(false).encode_to_vec()).unwrap();
    let mut files = descriptors(true);
    files.file.iter_mut().flat_map(|file| &mut file.message_type).for_each(strings_to_bytes);
    tonic_prost_build::configure()
        .bytes(".")
        .emit_rerun_if_changed(false)
        .out_dir(out)
        .compile_fds(files)
        .unwrap();
}

#[test]
fn committed_code_is_what_the_proto_files_give() {
    let committed = crate_dir().join("src/gen");
    if std::env::var_os("TITHON_REGENERATE").is_some() {
        generate(&committed);
        return;
    }
    let fresh = tempfile::tempdir().unwrap();
    generate(fresh.path());
    let names = |dir: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&committed), names(fresh.path()));
    for name in names(&committed) {
        let (old, new) = (std::fs::read(committed.join(&name)), std::fs::read(fresh.path().join(&name)));
        assert!(old.unwrap() == new.unwrap(), "{name:?} is stale: run this test with TITHON_REGENERATE=1");
    }
}
