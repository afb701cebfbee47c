//! `--store.sd-files`: files with lists of addresses. Prometheus `discovery/file`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use tracing::warn;

use crate::YamlFault;

/// A group of targets in a file; its labels are ignored.
#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    targets: Vec<String>,
}

/// The files that match some patterns, and the addresses last read from each.
#[derive(Debug, Default)]
pub struct SdFiles {
    patterns: Vec<String>,
    known: BTreeMap<PathBuf, BTreeSet<String>>,
}

impl SdFiles {
    /// No file is read yet.
    pub fn new(patterns: impl IntoIterator<Item = String>) -> SdFiles {
        SdFiles { patterns: patterns.into_iter().collect(), known: BTreeMap::new() }
    }

    /// Reads all files. One that cannot be read keeps its addresses; those of a deleted one are dropped.
    pub fn read(&mut self) -> BTreeSet<String> {
        let paths: BTreeSet<PathBuf> = self.patterns.iter().flat_map(|pattern| matching(pattern)).collect();
        self.known.retain(|path, _| paths.contains(path));
        for path in paths {
            match read(&path) {
                Ok(addresses) => _ = self.known.insert(path, addresses),
                Err(reason) => warn!(file = %path.display(), reason, "list of endpoints cannot be read"),
            }
        }
        self.known.values().flatten().cloned().collect()
    }
}

/// The files that match a pattern.
fn matching(pattern: &str) -> Vec<PathBuf> {
    glob::glob(pattern).into_iter().flatten().filter_map(Result::ok).collect()
}

/// Reads the addresses in a file. JSON is parsed as YAML, which includes it.
fn read(path: &Path) -> Result<BTreeSet<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let groups: Option<Vec<Group>> =
        serde_saphyr::from_str(&text).map_err(|error| YamlFault::new(&text, &error).to_string())?;
    Ok(groups.into_iter().flatten().flat_map(|group| group.targets).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_change_and_go() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let pattern = |name: &str| at(name).to_str().expect("UTF-8").to_owned();
        let write = |name: &str, text: &str| std::fs::write(at(name), text).expect("a file");
        let mut files = SdFiles::new([pattern("*/stores-[ab].yml"), pattern("one.json")]);
        assert!(files.read().is_empty());
        std::fs::create_dir(at("x")).expect("a folder");
        write("x/stores-a.yml", "- targets: ['a:1', 'b:1']\n  labels: {x: y}\n");
        write("x/stores-c.yml", "- targets: ['no:1']\n");
        write("one.json", r#"[{"targets": ["c:1"]}, {"targets": ["a:1"]}]"#);
        let all = ["a:1", "b:1", "c:1"].map(str::to_owned);
        assert_eq!(files.read(), BTreeSet::from(all.clone()));
        write("x/stores-a.yml", "- targets: 5");
        assert_eq!(files.read(), BTreeSet::from(all), "what cannot be read stays as it was");
        std::fs::remove_file(at("x/stores-a.yml")).expect("removed");
        assert_eq!(files.read(), BTreeSet::from(["a:1", "c:1"].map(str::to_owned)));
    }
}
