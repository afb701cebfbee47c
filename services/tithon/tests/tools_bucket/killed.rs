//! Tools that are killed again and again: they never leave half a block, and a last run finishes the work.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tithon_engine::Block;
use tithon_engine::verify::verify;

/// Starts the command and kills it, a little later each time, until it ends by itself; `check` runs after each kill.
pub fn again_and_again(mut command: impl FnMut() -> Command, mut check: impl FnMut()) {
    let (mut kills, mut pause) = (0, Duration::from_millis(2));
    loop {
        let mut child = command().stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(pause);
        if let Some(status) = child.try_wait().unwrap() {
            let output = child.wait_with_output().unwrap();
            assert!(status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(kills > 0, "the tool was never killed");
            return;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        pause += Duration::from_millis(3);
        assert!(pause < Duration::from_secs(120), "the tool does not end");
        check();
    }
}

/// Asserts that every block of a bucket that readers see is whole.
pub fn all_visible_blocks_are_sound(bucket: &Path) {
    let Ok(entries) = std::fs::read_dir(bucket) else { return };
    for entry in entries {
        let dir = entry.unwrap().path();
        if !dir.join("meta.json").exists() {
            continue;
        }
        let health = verify(&Block::open(&dir).unwrap());
        assert!(health.is_sound(), "{}: {health:?}", dir.display());
    }
}
