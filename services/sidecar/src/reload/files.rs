//! The watched files: their times, and a digest of their contents.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use tithon_runtime::{UnsetVariable, expand_variables};

use super::ReloadOptions;

/// Largest depth of nested folders, since links may form cycles.
const DEPTH_MAX: usize = 32;
/// Longest decompressed configuration in bytes.
const CONFIG_BYTES_MAX: u64 = 256 << 20;

/// Why the files cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// A file or folder cannot be used.
    #[error("{path}: {source}")]
    File {
        /// Path of the file or folder.
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// The configuration is not UTF-8.
    #[error("{path}: not UTF-8")]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The configuration uses a variable that is not set.
    #[error("{path}: {source}")]
    Variable {
        /// The file.
        path: PathBuf,
        /// The error with the variable's name.
        source: UnsetVariable,
    },
}

/// SHA-256 of the names and contents of the files.
pub(super) type FilesDigest = [u8; 32];

/// Time of change and length of each file; unreadable files are missing.
pub(super) type Stamp = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

/// The watched files, and the digest of the version that Prometheus last loaded.
pub(super) struct Watched {
    config_file: Option<PathBuf>,
    expanded_file: Option<PathBuf>,
    rule_dirs: Vec<PathBuf>,
    taken: Option<FilesDigest>,
}

impl Watched {
    pub(super) fn new(options: &ReloadOptions) -> Watched {
        Watched {
            config_file: options.config_file.clone(),
            expanded_file: options.expanded_file.clone(),
            rule_dirs: options.rule_dirs.clone(),
            taken: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of watched files and folders.
    pub(super) fn len(&self) -> usize {
        usize::from(self.config_file.is_some()) + self.rule_dirs.len()
    }

    /// Whether Prometheus has not loaded files with this digest yet.
    pub(super) fn is_new(&self, digest: FilesDigest) -> bool {
        self.taken != Some(digest)
    }

    /// Records that Prometheus has loaded files with this digest.
    pub(super) fn taken(&mut self, digest: FilesDigest) {
        self.taken = Some(digest);
    }

    /// The current times of the files.
    pub(super) fn stamp(&self) -> Stamp {
        let mut files: Vec<PathBuf> = self.config_file.iter().cloned().collect();
        for dir in &self.rule_dirs {
            // Errors are reported when the files are read.
            let _ = collect(dir, 0, &mut files);
        }
        let stamp = |path: PathBuf| {
            let meta = std::fs::metadata(&path).ok()?;
            Some((path, (meta.modified().ok(), meta.len())))
        };
        files.into_iter().filter_map(stamp).collect()
    }

    /// Reads all files. Writes the expanded configuration if that is configured.
    pub(super) fn read(&self) -> Result<FilesDigest, ReloadError> {
        let mut digest = Sha256::new();
        if let Some(path) = &self.config_file {
            let content = std::fs::read(path).map_err(failed(path))?;
            add(&mut digest, path, &content);
            if let Some(expanded) = &self.expanded_file {
                write(expanded, &expand(path, content)?)?;
            }
        }
        let mut files = Vec::new();
        for dir in &self.rule_dirs {
            collect(dir, 0, &mut files)?;
        }
        files.sort();
        for path in &files {
            add(&mut digest, path, &std::fs::read(path).map_err(failed(path))?);
        }
        Ok(digest.finalize().into())
    }
}

fn add(digest: &mut Sha256, path: &Path, content: &[u8]) {
    digest.update([0xff]);
    digest.update(path.as_os_str().as_encoded_bytes());
    digest.update([0xff]);
    digest.update(content);
}

/// Collects the files of a folder and its subfolders; links are followed.
fn collect(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), ReloadError> {
    if depth > DEPTH_MAX {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir).map_err(failed(dir))? {
        let path = entry.map_err(failed(dir))?.path();
        match std::fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => collect(&path, depth + 1, files)?,
            Ok(_) => files.push(path),
            // A dangling link, as while a volume is replaced.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&path)(error)),
        }
    }
    Ok(())
}

/// The configuration with variables expanded; gzip is decompressed.
fn expand(path: &Path, content: Vec<u8>) -> Result<String, ReloadError> {
    let text = if content.starts_with(&[0x1f, 0x8b, 0x08]) {
        let mut text = Vec::new();
        let mut unpacked = GzDecoder::new(&*content).take(CONFIG_BYTES_MAX);
        unpacked.read_to_end(&mut text).map_err(failed(path))?;
        text
    } else {
        content
    };
    let text = String::from_utf8(text).map_err(|_| ReloadError::NotText { path: path.to_owned() })?;
    let variable = |source| ReloadError::Variable { path: path.to_owned(), source };
    expand_variables(&text, |name| std::env::var(name).ok()).map_err(variable)
}

fn write(path: &Path, text: &str) -> Result<(), ReloadError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    std::fs::write(&name, text).map_err(failed(Path::new(&name)))?;
    std::fs::rename(&name, path).map_err(failed(path))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> ReloadError {
    let path = path.to_owned();
    move |source| ReloadError::File { path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReloadMethod;

    fn watched(config: &Path, expanded: Option<&Path>, rules: &Path) -> Watched {
        Watched::new(&ReloadOptions {
            config_file: Some(config.to_owned()),
            expanded_file: expanded.map(Path::to_owned),
            rule_dirs: vec![rules.to_owned()],
            watch_interval: Default::default(),
            retry_interval: Default::default(),
            method: ReloadMethod::Http,
        })
    }

    #[test]
    fn digests_tell_changes_and_variables_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (config, out, rules) =
            (dir.path().join("in.yml"), dir.path().join("out.yml"), dir.path().join("rules"));
        std::fs::create_dir_all(rules.join("deeper")).unwrap();
        std::fs::write(rules.join("deeper/a.yml"), "groups: []").unwrap();
        std::fs::write(&config, "a: $(CARGO_PKG_NAME)").unwrap();
        let mut watched = watched(&config, Some(&out), &rules);
        let first = watched.read().unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "a: tithon-sidecar");
        assert!(watched.is_new(first));
        watched.taken(first);
        assert!(!watched.is_new(watched.read().unwrap()));
        let stamp = watched.stamp();
        std::fs::write(rules.join("deeper/a.yml"), "groups: [ ]").unwrap();
        assert!(watched.is_new(watched.read().unwrap()) && watched.stamp() != stamp);

        std::fs::write(&config, "a: $(SURELY_NOT_SET)").unwrap();
        let error = watched.read().unwrap_err();
        assert!(matches!(error, ReloadError::Variable { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "a: tithon-sidecar");
    }

    #[test]
    fn a_packed_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let (config, out) = (dir.path().join("in.gz"), dir.path().join("out.yml"));
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut packer, b"b: 1").unwrap();
        std::fs::write(&config, packer.finish().unwrap()).unwrap();
        let rules = dir.path().join("rules");
        std::fs::create_dir(&rules).unwrap();
        watched(&config, Some(&out), &rules).read().unwrap();
        assert_eq!(std::fs::read_to_string(&out).unwrap(), "b: 1");
    }
}
