//! A process of a subject: started in isolation, measured from outside, killed when the tool ends.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::proc;

/// The arguments with which this program becomes another one, see [`exec`].
pub(crate) const EXEC: [&str; 3] = ["tools", "bench", "exec"];
/// Milliseconds between two checks of a process that works.
const LOOK_MS: u64 = 5;

/// A running process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Child {
    process: Process,
    log: PathBuf,
    started: Instant,
}

/// The resources that a process used from start to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub status: ExitStatus,
    pub wall: f64,
    pub cpu: f64,
    pub peak_bytes: u64,
    pub descriptors: u64,
}

impl Child {
    /// Starts `program` with its output in the file `log`.
    ///
    /// The process is started through this program, which first asks the kernel to kill it when the tool ends and then
    /// becomes `program`. So nothing is left running even when the tool itself is killed.
    pub(crate) fn start(program: &Path, args: &[String], log: &Path) -> io::Result<Child> {
        Child::start_in(Path::new("."), program, args, log)
    }

    /// Starts `program` as [`Child::start`] does, with the current directory `dir`.
    pub(crate) fn start_in(dir: &Path, program: &Path, args: &[String], log: &Path) -> io::Result<Child> {
        let output = File::create(log)?;
        let process = Command::new(std::env::current_exe()?)
            .current_dir(dir)
            .args(EXEC)
            .arg(std::process::id().to_string())
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()?;
        Ok(Child { process, log: log.to_owned(), started: Instant::now() })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// When it was started.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Whether the process is still running.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Waits until the process ends by itself; `None` when it takes longer than `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> io::Result<Option<Ended>> {
        let pid = self.pid();
        let (mut peak_bytes, mut descriptors, mut looks) = (0, 0, 0u32);
        let of = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        loop {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
            let ended = rustix::process::waitid(WaitId::Pid(of), options)?.is_some();
            if ended {
                let wall = self.started.elapsed().as_secs_f64();
                // A process's usage can be read until it is waited for.
                let cpu = proc::cpu_seconds(pid).unwrap_or_default();
                let status = self.process.wait()?;
                return Ok(Some(Ended { status, wall, cpu, peak_bytes, descriptors }));
            }
            if self.started.elapsed() > limit {
                return Ok(None);
            }
            peak_bytes = peak_bytes.max(proc::peak_bytes(pid).unwrap_or_default());
            if looks.is_multiple_of(10) {
                descriptors = descriptors.max(proc::descriptors(pid));
            }
            looks += 1;
            std::thread::sleep(Duration::from_millis(LOOK_MS));
        }
    }

    /// The last line of its output, cut to fit a table.
    pub(crate) fn last_line(&self) -> String {
        last_line(&self.log)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The process may have ended by itself. The process group contains its children.
        if let Some(pid) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The last non-empty line of a log, at most 300 characters.
fn last_line(path: &Path) -> String {
    const TAIL_BYTES: u64 = 16 << 10;
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(TAIL_BYTES)))?;
        let mut tail = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut tail)?;
        Ok(tail)
    };
    let tail = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&tail);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("(it said nothing)");
    line.chars().take(300).collect()
}

/// Becomes `program`, killed by the kernel when the process `parent` ends. Returns only on failure.
pub(crate) fn exec(parent: u32, program: &Path, args: &[String]) -> io::Error {
    if let Err(error) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // The parent may have ended before the kernel was asked.
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    if now != i32::try_from(parent).ok() {
        return io::Error::other("the tool has ended");
    }
    Command::new(program).args(args).exec()
}

/// A free port of the loopback interface, which this process does not return again soon.
pub(crate) fn free_port() -> io::Result<u16> {
    /// Ports from here on are ephemeral: outgoing connections may take them before the server starts.
    const EPHEMERAL: u32 = 32_768;
    const FIRST: u32 = 12_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + std::process::id().wrapping_mul(97).wrapping_add(next) % (EPHEMERAL - FIRST);
        match std::net::TcpListener::bind(("127.0.0.1", port as u16)) {
            Ok(_) => return Ok(port as u16),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err(error) => return Err(error),
        }
    }
}
