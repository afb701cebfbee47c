//! `--store.sd-files`: lists of addresses in files. Prometheus `discovery/file`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tithon_runtime::YamlFault;
use tracing::warn;

/// A group of a file; its labels do not matter here.
#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    targets: Vec<String>,
}

/// Files whose names satisfy patterns, and what each last held.
#[derive(Debug, Default)]
pub(super) struct SdFiles {
    patterns: Vec<PathBuf>,
    known: std::collections::BTreeMap<PathBuf, BTreeSet<String>>,
}

impl SdFiles {
    pub(super) fn new(patterns: impl IntoIterator<Item = PathBuf>) -> SdFiles {
        SdFiles { patterns: patterns.into_iter().collect(), known: std::collections::BTreeMap::new() }
    }

    /// Reads all files. One that cannot be read keeps its addresses, one that is gone has none.
    pub(super) fn read(&mut self) -> BTreeSet<String> {
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

/// The files that a pattern names; `*` in the last part of a path stands for any text.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((start, end)) = name.split_once('*') else {
        return pattern.exists().then(|| pattern.to_owned()).into_iter().collect();
    };
    let folder = pattern.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let fits = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
    };
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(fits).collect()
}

/// The addresses of a file; JSON is read as the YAML that it is.
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
        let write = |name: &str, text: &str| std::fs::write(at(name), text).expect("a file");
        let mut files = SdFiles::new([at("stores-*.yml"), at("one.json")]);
        assert!(files.read().is_empty());
        write("stores-a.yml", "- targets: ['a:1', 'b:1']\n  labels: {x: y}\n");
        write("other.yml", "- targets: ['no:1']\n");
        write("one.json", r#"[{"targets": ["c:1"]}, {"targets": ["a:1"]}]"#);
        let all = ["a:1", "b:1", "c:1"].map(str::to_owned);
        assert_eq!(files.read(), BTreeSet::from(all.clone()));
        write("stores-a.yml", "- targets: 5");
        assert_eq!(files.read(), BTreeSet::from(all), "what cannot be read stays as it was");
        std::fs::remove_file(at("stores-a.yml")).expect("removed");
        assert_eq!(files.read(), BTreeSet::from(["a:1", "c:1"].map(str::to_owned)));
    }
}
