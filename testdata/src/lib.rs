//! Golden blocks and bytes for tests: finds them beside the project, holds naive models.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The project's root folder.
pub fn project_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A path inside `shared/`, the folder of golden data beside the project. Panics, naming it, when it is missing: a
/// test that cannot see its oracle must fail.
pub fn shared(path: &str) -> PathBuf {
    let full = project_root().join("../shared").join(path);
    assert!(full.exists(), "golden data is missing: {} (expected beside the project)", full.display());
    full
}

/// The lines of a `.jsonl.zst` file of `shared/`, parsed.
pub fn json_lines(path: &str) -> Vec<serde_json::Value> {
    let file = std::fs::File::open(shared(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let bytes = zstd::decode_all(file).unwrap_or_else(|e| panic!("{path}: {e}"));
    bytes
        .split(|b| *b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap_or_else(|e| panic!("{path}: {e}")))
        .collect()
}

/// A port of the loopback interface that is free now, and that this process does not give again soon.
pub fn free_port() -> u16 {
    /// Ports from here on belong to whoever connects somewhere: one of them may be taken before the server begins that it is for.
    const EPHEMERAL: u32 = 32_768;
    const FIRST: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + std::process::id().wrapping_mul(97).wrapping_add(next) % (EPHEMERAL - FIRST);
        if std::net::TcpListener::bind(("127.0.0.1", port as u16)).is_ok() {
            return port as u16;
        }
    }
}

/// Copies a folder with everything in it; panics, naming the path, where that fails.
pub fn copy_dir(from: &Path, to: &Path) {
    let failed = |path: &Path, error: std::io::Error| -> ! { panic!("{}: {error}", path.display()) };
    std::fs::create_dir_all(to).unwrap_or_else(|error| failed(to, error));
    for entry in std::fs::read_dir(from).unwrap_or_else(|error| failed(from, error)) {
        let path = entry.unwrap_or_else(|error| failed(from, error)).path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_dir(&path, &target);
        } else {
            std::fs::copy(&path, &target).map(drop).unwrap_or_else(|error| failed(&path, error));
        }
    }
}
