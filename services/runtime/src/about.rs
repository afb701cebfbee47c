//! What a process tells of itself at `/api/v1/status/*`. Thanos `pkg/api/api.go`.

use std::collections::BTreeMap;

use serde::Serialize;

/// The answers of `/api/v1/status/*`.
#[derive(Clone, Debug)]
pub struct About {
    /// The answer of `/api/v1/status/buildinfo`.
    pub build: BuildInfo,
    /// The answer of `/api/v1/status/flags`: names of flags with their values.
    pub flags: BTreeMap<String, String>,
    /// The answer of `/api/v1/status/runtimeinfo`.
    pub runtime: RuntimeInfo,
}

/// Build information, as in `/api/v1/status/buildinfo`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildInfo {
    /// Version of the Prometheus API; Grafana chooses features by it.
    pub version: String,
    /// Git commit of the build.
    pub revision: String,
    /// Git branch of the build.
    pub branch: String,
    /// User and host of the build.
    pub build_user: String,
    /// Time of the build.
    pub build_date: String,
    /// This program's name and own version, in the field where Prometheus has Go's version.
    pub go_version: String,
}

impl Default for BuildInfo {
    fn default() -> BuildInfo {
        BuildInfo {
            version: "3.14.0".into(),
            revision: String::new(),
            branch: String::new(),
            build_user: String::new(),
            build_date: String::new(),
            go_version: concat!("tithon ", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}

/// The running process, as in `/api/v1/status/runtimeinfo`. What only Go's runtime has is empty or 0.
#[derive(Clone, Debug, Serialize)]
pub struct RuntimeInfo {
    #[serde(rename = "startTime")]
    start_time: String,
    #[serde(rename = "CWD")]
    directory: String,
    #[serde(rename = "goroutineCount")]
    goroutines: u64,
    #[serde(rename = "GOMAXPROCS")]
    threads: usize,
    #[serde(rename = "GOGC")]
    gc: &'static str,
    #[serde(rename = "GODEBUG")]
    debug: &'static str,
    #[serde(rename = "GOMEMLIMIT")]
    memory_limit: i64,
}

impl RuntimeInfo {
    /// A process that began at `start_time`, in RFC 3339, and computes with so many threads.
    pub fn new(start_time: String, threads: usize) -> RuntimeInfo {
        let directory = std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
        RuntimeInfo { start_time, directory, goroutines: 0, threads, gc: "", debug: "", memory_limit: 0 }
    }
}
