//! `--query.active-query-path`: a file that lists the queries being evaluated, so that it can be read after a crash.
//! Prometheus `promql/query_logger.go`.
//!
//! ```text
//! "[" | slot 0 | slot 1 | ...      each slot 1,000 bytes: an entry of JSON, zeros up to the last byte, a comma
//! ```
//!
//! A free slot is all zeros. The contents survive a crash of the process, since the written pages belong to the file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

/// Size of a slot in bytes.
const SLOT: usize = 1000;
/// Longest query text in bytes that leaves room for the rest of the entry.
const TEXT_BYTES_MAX: usize = SLOT - 40;
/// Name of the file inside the folder.
const NAME: &str = "queries.active";
/// Number of slots when the number of concurrent queries is unlimited.
const SLOTS_WITHOUT_LIMIT: usize = 100;
/// Most bytes that are read of the file that a crashed process left.
const READ_MAX: u64 = 16 << 20;

/// The file of active queries cannot be created, read or written.
#[derive(Debug, thiserror::Error)]
#[error("--query.active-query-path: {path}: {source}")]
pub struct ActiveQueriesError {
    path: PathBuf,
    source: io::Error,
}

/// The file of active queries. Clones share it.
#[derive(Clone, Debug)]
pub struct ActiveQueries(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    /// Indexes of the free slots.
    free: Mutex<Vec<usize>>,
}

/// A query under evaluation; its entry is removed from the file when this is dropped.
pub(crate) struct Active {
    queries: ActiveQueries,
    /// `None` when no slot was free, so that the query is not in the file.
    slot: Option<usize>,
}

impl ActiveQueries {
    /// Creates the folder and an empty file with slots for `queries_max` queries (0 is no limit). Returns the entries
    /// of the previous file as a JSON list: the queries that were under way when the last process crashed, or an empty
    /// string when it ended well.
    ///
    /// Fails when the folder or the file cannot be created, read or written.
    pub fn open(folder: &Path, queries_max: usize) -> Result<(ActiveQueries, String), ActiveQueriesError> {
        let path = folder.join(NAME);
        let failed = |source| ActiveQueriesError { path: path.clone(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let unfinished = unfinished(&path).map_err(failed)?;
        let slots = if queries_max == 0 { SLOTS_WITHOUT_LIMIT } else { queries_max };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path);
        let file = file.map_err(failed)?;
        file.set_len(1 + slots as u64 * SLOT as u64).map_err(failed)?;
        file.write_all_at(b"[", 0).map_err(failed)?;
        let free = Mutex::new((0..slots).rev().collect());
        Ok((ActiveQueries(Arc::new(Inner { file, free })), unfinished))
    }

    /// Writes the query into a free slot, until the guard is dropped.
    pub(crate) fn begin(&self, text: &str) -> Active {
        let slot = self.0.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(slot) = slot {
            let mut bytes = entry(text);
            bytes.resize(SLOT - 1, 0);
            bytes.push(b',');
            self.write(slot, &bytes);
        }
        Active { queries: self.clone(), slot }
    }

    fn write(&self, slot: usize, bytes: &[u8]) {
        if let Err(error) = self.0.file.write_all_at(bytes, 1 + (slot * SLOT) as u64) {
            tracing::warn!(error = %error, "a query cannot be recorded as active");
        }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        self.queries.write(slot, &[0; SLOT]);
        self.queries.0.free.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    }
}

/// The JSON entry of a query. A text that does not fit into a slot is cut.
fn entry(text: &str) -> Vec<u8> {
    let seconds = tithon_runtime::since_1970().as_secs();
    let mut len = text.floor_char_boundary(TEXT_BYTES_MAX);
    loop {
        let bytes = json!({ "query": text[..len], "timestamp_sec": seconds }).to_string().into_bytes();
        if bytes.len() < SLOT {
            return bytes;
        }
        len = text.floor_char_boundary(len - (bytes.len() - SLOT + 1).min(len));
    }
}

/// The entries in the file that the previous process left, as a JSON list; empty when there are none.
fn unfinished(path: &Path) -> io::Result<String> {
    use std::io::Read;
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(READ_MAX).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    bytes.retain(|byte| *byte != 0);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let entries = text.strip_prefix('[').unwrap_or(&text).trim_end_matches(',');
    Ok(if entries.is_empty() { String::new() } else { format!("[{entries}]") })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_was_under_way_is_told_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made");
        let (active, before) = ActiveQueries::open(&path, 2).unwrap();
        assert_eq!(before, "");
        let long = format!("{}\u{7f}\"é", "\"".repeat(5000));
        let (first, second) = (active.begin("up"), active.begin(&long));
        let third = active.begin("no slot is free");
        drop(first);
        assert_eq!(std::fs::metadata(path.join(NAME)).unwrap().len(), 2001);
        // A crash drops no guard.
        std::mem::forget((second, third));
        let (active, before) = ActiveQueries::open(&path, 2).unwrap();
        let entries: Value = serde_json::from_str(&before).unwrap();
        assert_eq!(entries.as_array().unwrap().len(), 1);
        assert!(long.starts_with(entries[0]["query"].as_str().unwrap()));
        assert!(entries[0]["timestamp_sec"].as_u64().unwrap() > 1_600_000_000);
        drop(active.begin("up"));
        drop(active);
        assert_eq!(ActiveQueries::open(&path, 0).unwrap().1, "");
    }
}
