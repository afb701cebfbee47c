//! Folders: generated data that is kept and reused, and temporary files of a run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tithon_synthetic::{Data, Written};

use crate::error::BenchError;
use crate::progress;

/// Name of the file that describes the data in a folder.
const MARKER: &str = "bench-data.json";

/// Description of the data in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    /// The data that was asked for, in this order.
    pub data: Vec<Data>,
    /// Number of copies of each block.
    pub clones: u64,
    /// Statistics of what was written.
    pub written: Written,
}

/// Reads the marker of `dir`; `None` if the folder is missing or empty.
pub(crate) fn marker(dir: &Path, wanted: &str) -> Result<Option<Marker>, BenchError> {
    let other =
        |found: String| BenchError::OtherData { path: dir.to_owned(), found, wanted: wanted.to_owned() };
    let is_empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(BenchError::io(dir)(error)),
    };
    if is_empty {
        return Ok(None);
    }
    let text =
        fs::read(dir.join(MARKER)).map_err(|_| other("files that this tool did not finish".to_owned()))?;
    let marker =
        serde_json::from_slice(&text).map_err(|error| other(format!("a broken {MARKER}: {error}")))?;
    Ok(Some(marker))
}

/// Writes the marker, which says that a folder is complete.
fn write_marker(dir: &Path, marker: &Marker) -> Result<(), BenchError> {
    let path = dir.join(MARKER);
    let text = serde_json::to_vec_pretty(marker).map_err(|error| BenchError::io(&path)(error.into()))?;
    fs::write(&path, text).map_err(BenchError::io(&path))
}

/// Generates `data` in the folder `dir`, unless it is there already.
pub(crate) fn fill(dir: &Path, data: &[Data]) -> Result<Marker, BenchError> {
    let wanted = data.iter().map(describe).collect::<Vec<_>>().join(" and ");
    if let Some(marker) = marker(dir, &wanted)? {
        if marker.data == data && marker.clones == 1 {
            return Ok(marker);
        }
        let found = marker.data.iter().map(describe).collect::<Vec<_>>().join(" and ");
        return Err(BenchError::OtherData { path: dir.to_owned(), found, wanted });
    }
    write(dir, &wanted, data.iter().map(Data::bytes).sum(), |dir| {
        let mut written = Written::default();
        for data in data {
            let bar = progress::bar(data.series as u64 * u64::from(data.replicas), &describe(data));
            let made = data.write(dir, &|series| bar.inc(series))?;
            bar.finish_and_clear();
            written.blocks += made.blocks;
            written.series += made.series;
            written.samples += made.samples;
        }
        Ok(Marker { data: data.to_vec(), clones: 1, written })
    })
}

/// Lets `make` fill a temporary folder, which is renamed to `dir` when it is complete. Fails when the disk lacks
/// `bytes` of free space.
pub(crate) fn write(
    dir: &Path,
    what: &str,
    bytes: u64,
    make: impl FnOnce(&Path) -> Result<Marker, BenchError>,
) -> Result<Marker, BenchError> {
    let parent = match dir.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let partial = Scratch::create(parent, &format!("{name}.partial"))?;
    need_space(partial.path(), bytes, what)?;
    let marker = make(partial.path())?;
    write_marker(partial.path(), &marker)?;
    fs::rename(partial.path(), dir).map_err(BenchError::io(dir))?;
    Ok(marker)
}

/// Describes a set of data.
pub(crate) fn describe(data: &Data) -> String {
    let time = describe_ms;
    format!(
        "{} series of {} over {} each {} in blocks of {}, {} replica(s), seed {}",
        data.series,
        data.profile.name(),
        time(data.range_ms),
        time(data.interval_ms),
        time(data.block_ms),
        data.replicas,
        data.seed
    )
}

/// Describes a number of milliseconds.
pub(crate) fn describe_ms(ms: i64) -> String {
    humantime::format_duration(Duration::from_millis(ms.unsigned_abs())).to_string()
}

/// Fails unless the disk of `dir` has `bytes` and a tenth more of free space.
pub(crate) fn need_space(dir: &Path, bytes: u64, what: &str) -> Result<(), BenchError> {
    let stat = rustix::fs::statvfs(dir).map_err(|error| BenchError::io(dir)(error.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let needed = bytes + bytes / 10;
    if free >= needed {
        return Ok(());
    }
    let shown = |bytes| indicatif::HumanBytes(bytes).to_string();
    Err(BenchError::Disk {
        path: dir.to_owned(),
        free: shown(free),
        needed: shown(needed),
        what: what.to_owned(),
    })
}

/// Copies the blocks in `from` into the new folder `to`. Index and chunks are never changed and become hard links if
/// possible; meta.json is copied, as it may be replaced in place.
pub(crate) fn copy_blocks(from: &Path, to: &Path) -> Result<(), BenchError> {
    fs::create_dir_all(to).map_err(BenchError::io(to))?;
    for entry in fs::read_dir(from).map_err(BenchError::io(from))? {
        let entry = entry.map_err(BenchError::io(from))?;
        if entry.path().join("meta.json").exists() {
            copy_block(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

/// Copies a folder recursively, as [`copy_blocks`] does.
pub(crate) fn copy_block(from: &Path, to: &Path) -> Result<(), BenchError> {
    fs::create_dir_all(to).map_err(BenchError::io(to))?;
    for entry in fs::read_dir(from).map_err(BenchError::io(from))? {
        let path = entry.map_err(BenchError::io(from))?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_block(&path, &target)?;
        } else if path.ends_with("meta.json") || fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, &target).map_err(BenchError::io(&path))?;
        }
    }
    Ok(())
}

/// The names of the blocks of a bucket.
pub(crate) fn block_names(bucket: &Path) -> Result<BTreeSet<String>, BenchError> {
    let entries = fs::read_dir(bucket).map_err(BenchError::io(bucket))?.flatten();
    let blocks = entries.filter(|entry| entry.path().join("meta.json").exists());
    Ok(blocks.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Number of files below a folder.
pub(crate) fn count_files(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries.flatten().map(|e| if e.path().is_dir() { count_files(&e.path()) } else { 1 }).sum()
}

/// A folder that is removed with its contents when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Creates a folder in `parent`.
    pub(crate) fn create(parent: &Path, name: &str) -> Result<Scratch, BenchError> {
        let path = parent.join(name);
        // A killed run may have left one.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).map_err(BenchError::io(&path))?;
        Ok(Scratch(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes the configuration of a bucket in the folder `bucket` into this folder.
    pub(crate) fn bucket_config(&self, name: &str, bucket: &Path) -> Result<PathBuf, BenchError> {
        let path = self.0.join(format!("{name}.yml"));
        let directory = serde_json::Value::from(bucket.display().to_string());
        let text = format!("type: FILESYSTEM\nconfig:\n  directory: {directory}\n");
        fs::write(&path, text).map_err(BenchError::io(&path))?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A folder that cannot be removed now is removed by the next run with the same name.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use tithon_synthetic::Profile;

    use super::*;

    fn data(seed: u64) -> Data {
        Data {
            profile: Profile::K8s,
            series: 20,
            interval_ms: 30_000,
            start_ms: 1_735_689_600_000,
            range_ms: 600_000,
            block_ms: 7_200_000,
            replicas: 1,
            seed,
        }
    }

    #[test]
    fn data_is_made_once_and_other_data_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let made = fill(dir.path(), &[data(1)]).unwrap();
        assert_eq!((made.written.blocks, made.written.series), (1, 20));
        assert_eq!(fill(dir.path(), &[data(1)]).unwrap(), made);
        let error = fill(dir.path(), &[data(2)]).unwrap_err().to_string();
        assert!(error.contains("seed 1, not 20 series") && error.contains("seed 2;"), "{error}");
        fs::remove_file(dir.path().join(MARKER)).unwrap();
        assert!(fill(dir.path(), &[data(1)]).unwrap_err().to_string().contains("did not finish"));
    }

    #[test]
    fn copies_share_everything_but_the_meta() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fill(&from, &[data(1)]).unwrap();
        copy_blocks(&from, &to).unwrap();
        let block = fs::read_dir(&to).unwrap().next().unwrap().unwrap().path();
        let links = |name: &str| fs::metadata(block.join(name)).unwrap().nlink();
        assert_eq!((links("index"), links("chunks/000001"), links("meta.json")), (2, 2, 1));
        assert_eq!(count_files(&to), 3);
    }

    #[test]
    fn a_full_disk_is_found_before() {
        let dir = tempfile::tempdir().unwrap();
        let error = need_space(dir.path(), 1 << 60, "much").unwrap_err().to_string();
        assert!(error.contains("needed for much") && error.contains("--data-dir"), "{error}");
    }
}
