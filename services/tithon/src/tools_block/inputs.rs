//! Finds the blocks at the paths on the command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tithon_engine::{Block, BlockId};
use tracing::warn;

use super::ToolError;

/// The block directories at the paths, by id; each path is a block or a folder of blocks.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ToolError> {
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for path in paths {
        for dir in blocks_at(path)? {
            let id = dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned();
            if let Some(first) = found.insert(id.clone(), dir.clone()) {
                return Err(ToolError::Twice { id, first, second: dir });
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Opens the blocks at the paths, by id.
pub fn open(paths: &[PathBuf]) -> Result<Vec<Block>, ToolError> {
    find(paths)?.into_iter().map(|dir| Ok(Block::open(dir)?)).collect()
}

fn blocks_at(path: &Path) -> Result<Vec<PathBuf>, ToolError> {
    if path.join("meta.json").exists() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| ToolError::Folder { path: path.to_owned(), source };
    let mut dirs = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let dir = entry.map_err(failed)?.path();
        let is_block = dir.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.parse::<BlockId>().is_ok());
        if is_block && dir.join("meta.json").exists() {
            dirs.push(dir);
        } else if is_block {
            warn!(dir = %dir.display(), "ignored a block without meta.json: an unfinished upload");
        }
    }
    match dirs.is_empty() {
        true => Err(ToolError::NoBlock { path: path.to_owned() }),
        false => Ok(dirs),
    }
}
