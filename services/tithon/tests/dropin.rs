//! Tithon as a replacement of Thanos: command lines, starts and ends, flags that change answers, dashboards.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "differential/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "other tests start other servers")]
mod process;

#[path = "dropin/answers.rs"]
mod answers;
#[path = "dropin/life.rs"]
mod life;
#[path = "dropin/lists.rs"]
mod lists;
#[path = "dropin/mixin.rs"]
mod mixin;
#[path = "dropin/tracing.rs"]
mod tracing;
#[path = "dropin/wrong.rs"]
mod wrong;

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use process::TITHON;

/// A bucket in a directory, as a flag.
fn objstore(bucket: &Path) -> String {
    format!("--objstore.config={{type: FILESYSTEM, config: {{directory: {}}}}}", bucket.display())
}

/// The golden bucket.
fn golden() -> std::path::PathBuf {
    tithon_testdata::shared("testdata/bucket")
}

/// A process that is killed when this goes out of scope.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // A process that has gone already needs no killing.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn start(args: &[String]) -> Running {
        Running(Command::new(TITHON).args(args).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        let done = Command::new("kill").args([format!("-{name}"), self.0.id().to_string()]).status();
        assert!(done.unwrap().success());
    }

    /// Waits for the end; fails when it does not come.
    fn exit_code(&mut self) -> i32 {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < deadline, "the process does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The status of a GET; 0 if no server listens.
fn status(port: u16, path: &str) -> u16 {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    agent
        .get(format!("http://127.0.0.1:{port}{path}"))
        .call()
        .map_or(0, |response| response.status().as_u16())
}

/// Waits until a path answers so.
fn wait_for(running: &mut Running, port: u16, path: &str, wanted: u16, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while status(port, path) != wanted {
        if let Some(ended) = running.0.try_wait().unwrap() {
            panic!("{what}: ended with {ended}");
        }
        assert!(Instant::now() < deadline, "{what}: {path} does not answer {wanted}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
