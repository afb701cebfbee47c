//! Shows the progress of a job: a bar on a terminal, a log line every half minute elsewhere.

use std::fs;
use std::io::{IsTerminal, stderr};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use tithon_engine::BlockId;
use tracing::info;

/// Watches what a job writes until it is dropped.
pub struct Progress {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Watches the unfinished blocks `ids` below `out`; `expected` is their approximate size in bytes.
    pub fn watch(what: &'static str, out: &Path, ids: &[BlockId], expected: u64) -> Progress {
        let dirs = ids.iter().map(|id| out.join(format!("{id}.tmp-for-creation"))).collect();
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("progress".into());
        let thread = thread.spawn(move || watch(what, dirs, expected, &stopped)).ok();
        Progress { stop: Some(stop), thread }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread only shows progress, so its failure does not matter.
            let _ = thread.join();
        }
    }
}

fn watch(what: &'static str, dirs: Vec<PathBuf>, expected: u64, stopped: &Receiver<()>) {
    let is_terminal = stderr().is_terminal();
    let bar = if is_terminal { ProgressBar::new(expected) } else { ProgressBar::hidden() };
    let style = "{prefix} {bar:30} {bytes} of about {total_bytes}  {bytes_per_sec}  {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.set_prefix(what);
    let pause = if is_terminal { Duration::from_millis(100) } else { Duration::from_secs(30) };
    let began = Instant::now();
    while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        let written: u64 = dirs.iter().map(|dir| size(dir)).sum();
        bar.set_length(expected.max(written));
        bar.set_position(written);
        if !is_terminal {
            info!(written = %HumanBytes(written), about = %HumanBytes(expected), seconds = began.elapsed().as_secs(), "{what}");
        }
    }
    bar.finish_and_clear();
}

/// Bytes of all files below `dir`; unreadable files are ignored.
fn size(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let one = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(one).sum()
}
