//! The modules of the crate form layers: each imports only from its own group in `lib.rs` and the groups above, and no
//! modules import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// For each module of the crate's root, the modules that its files import from.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The modules that `lib.rs` declares, with the numbers of their groups. A comment begins a group.
fn groups() -> BTreeMap<String, usize> {
    let text = fs::read_to_string(source().join("lib.rs")).expect("the crate's root");
    let (mut groups, mut group) = (BTreeMap::new(), 0);
    for line in text.lines() {
        if line.starts_with("// ") {
            group += 1;
        }
        let declared = line.strip_prefix("pub ").unwrap_or(line).strip_prefix("mod ");
        if let Some(name) = declared.and_then(|line| line.strip_suffix(';')) {
            groups.insert(name.to_owned(), group);
        }
    }
    groups
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The name of the module of the root that a file belongs to.
fn module_of(file: &Path) -> String {
    let path = file.strip_prefix(source()).expect("a file of the crate");
    let first = path.iter().next().expect("not the folder itself");
    first.to_str().expect("an ASCII name").trim_end_matches(".rs").to_owned()
}

/// The code of a file without its comments and its unit tests, which may import anything.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("a source file");
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The names that follow `crate::` in a code.
fn imports_of(code: &str) -> BTreeSet<String> {
    let name = |rest: &str| -> String {
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    code.split("crate::").skip(1).map(name).filter(|name| !name.is_empty()).collect()
}

fn imports() -> Imports {
    let mut files = Vec::new();
    rust_files(&source(), &mut files);
    let is_test = |file: &PathBuf| file.ends_with("tests.rs") || file.ends_with("testing.rs");
    let mut imports = Imports::new();
    for file in files.into_iter().filter(|file| !is_test(file) && !file.ends_with("lib.rs")) {
        let module = module_of(&file);
        let mut used = imports_of(&code(&file));
        used.remove(&module);
        imports.entry(module).or_default().extend(used);
    }
    imports
}

/// Modules that import each other, if there are any: modules without imports are removed until there are none, and the
/// rest is returned.
fn circle(mut imports: Imports) -> Imports {
    loop {
        let free: Vec<String> =
            imports.iter().filter(|(_, used)| used.is_empty()).map(|(module, _)| module.clone()).collect();
        if free.is_empty() {
            return imports;
        }
        imports.retain(|module, _| !free.contains(module));
        imports.values_mut().for_each(|used| used.retain(|module| !free.contains(module)));
    }
}

#[test]
fn modules_import_from_their_own_group_and_those_above() {
    let groups = groups();
    let imports = imports();
    assert!(imports.len() > 20, "the files of the crate were found");
    for (module, used) in &imports {
        for other in used {
            let Some(group) = groups.get(other) else {
                panic!("{module} imports {other}: no module of the root")
            };
            assert!(*group <= groups[module], "{module} imports {other}, which stands below it in lib.rs");
        }
    }
}

#[test]
fn no_modules_import_each_other() {
    assert_eq!(circle(imports()), Imports::new());
}

#[test]
fn operators_and_functions_do_not_know_the_evaluator() {
    for (module, used) in imports() {
        assert!(!used.contains("eval"), "{module} imports the evaluator");
    }
}

#[test]
fn a_circle_is_found() {
    let imports = |edges: &[(&str, &[&str])]| -> Imports {
        let set = |used: &[&str]| used.iter().map(|module| (*module).to_owned()).collect();
        edges.iter().map(|(module, used)| ((*module).to_owned(), set(used))).collect()
    };
    let found = circle(imports(&[("a", &["b", "d"]), ("b", &["c"]), ("c", &["a"]), ("d", &[])]));
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(
        imports_of("use crate::a::{b};\nfn f() { crate::c_d() }"),
        BTreeSet::from(["a".into(), "c_d".into()])
    );
}
