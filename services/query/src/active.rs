//! `--query.active-query-path`: a file that names the queries under way, to be read after a crash.
//! Prometheus `promql/query_logger.go`.
//!
//! ```text
//! "[" | slot 0 | slot 1 | ...      each slot 1,000 bytes: an entry of JSON, zeros up to the last byte, a comma
//! ```
//!
//! A free slot is all zeros. What was written stays when the process dies, since the pages belong to the file.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

/// Bytes of a slot.
const SLOT: usize = 1000;
/// Bytes of a query's text, so that the entry fits into its slot.
const TEXT_BYTES_MAX: usize = SLOT - 40;
/// The file in the folder.
const NAME: &str = "queries.active";
/// Slots where the number of queries has no limit.
const SLOTS_WITHOUT_LIMIT: usize = 100;
/// Bytes of the file of a process that crashed that are read.
const READ_MAX: u64 = 16 << 20;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("--query.active-query-path: {path}: {source}")]
pub struct ActiveQueriesError {
    path: PathBuf,
    source: io::Error,
}

/// The file. Clones share it.
#[derive(Clone, Debug)]
pub struct ActiveQueries(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    /// The free slots.
    free: Mutex<Vec<usize>>,
}

/// A query that the file names until this is dropped.
pub(crate) struct Active {
    queries: ActiveQueries,
    /// `None` where no slot was free.
    slot: Option<usize>,
}

impl ActiveQueries {
    /// Makes the file, for so many queries at once (0 is no limit), and the folder. Gives what the file said before, without the
    /// zeros: the queries that were under way when the last process crashed; empty when it ended well.
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

    /// Names a query, until the guard is dropped.
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
            tracing::warn!(error = %error, "a query is not named among the active ones");
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

/// What is written of a query; a text that is too long as JSON is cut.
fn entry(text: &str) -> Vec<u8> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let mut len = text.floor_char_boundary(TEXT_BYTES_MAX);
    loop {
        let bytes = json!({ "query": text[..len], "timestamp_sec": seconds }).to_string().into_bytes();
        if bytes.len() < SLOT {
            return bytes;
        }
        len = text.floor_char_boundary(len - (bytes.len() - SLOT + 1).min(len));
    }
}

/// The entries in the file of a process before this one.
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
