//! `thanos.shipper.json`: the blocks of a directory that are uploaded. Prometheus reads it too where it waits for uploads before
//! it compacts (`--storage.tsdb.delay-compact-file.path`).

use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tithon_engine::BlockId;
use tracing::{info, warn};

/// The version of the file.
const VERSION: i64 = 1;

/// The content of the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    version: i64,
    /// In the order of their times; Go writes `null` for none.
    #[serde(default, deserialize_with = "null_is_empty")]
    pub(crate) uploaded: Vec<BlockId>,
}

impl State {
    /// The content that names these blocks.
    pub(crate) fn of(uploaded: Vec<BlockId>) -> State {
        State { version: VERSION, uploaded }
    }

    /// The file's content. A file that is missing or cannot be read counts as empty: then the bucket is asked for each block.
    pub(crate) fn read(path: &Path) -> State {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                info!(file = %path.display(), "no file tells which blocks are uploaded, it is made");
                return State::of(Vec::new());
            }
            Err(error) => {
                warn!(file = %path.display(), %error, "cannot read which blocks are uploaded");
                return State::of(Vec::new());
            }
        };
        match serde_json::from_slice::<State>(&bytes) {
            Ok(state) if state.version == VERSION => state,
            Ok(state) => {
                warn!(file = %path.display(), version = state.version, expected = VERSION, "unknown version");
                State::of(Vec::new())
            }
            Err(error) => {
                warn!(file = %path.display(), %error, "cannot read which blocks are uploaded");
                State::of(Vec::new())
            }
        }
    }

    /// Replaces the file; a crash leaves the old or the new one.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        self.serialize(&mut serde_json::Serializer::with_formatter(&mut text, format))?;
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        let temporary = Path::new(&name);
        let mut file = std::fs::File::create(temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(temporary, path)?;
        match path.parent() {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

fn null_is_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<BlockId>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_as_thanos_writes_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("thanos.shipper.json");
        assert_eq!(State::read(&path), State::of(Vec::new()));
        let uploaded = vec!["01E5Y0Y7ZZZZZZZZZZZZZZZZZZ".parse().unwrap()];
        State::of(uploaded).write(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            "{\n\t\"version\": 1,\n\t\"uploaded\": [\n\t\t\"01E5Y0Y7ZZZZZZZZZZZZZZZZZZ\"\n\t]\n}"
        );
        assert_eq!(State::read(&path).uploaded.len(), 1);
    }

    #[test]
    fn files_that_are_none_count_as_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        for text in ["", "{", "{\"version\":2,\"uploaded\":[]}", "{\"version\":1,\"uploaded\":null}", "[]"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(State::read(&path), State::of(Vec::new()), "{text}");
        }
    }
}
