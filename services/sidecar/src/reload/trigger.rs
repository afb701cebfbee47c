//! Tells Prometheus to reload.

use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use super::ReloadMethod;
use crate::{Prometheus, PrometheusError};

/// Interval between two checks of the outcome of a signal, and their number.
const OUTCOME_INTERVAL: Duration = Duration::from_secs(1);
const OUTCOME_LOOKS: usize = 30;

/// Why Prometheus did not reload.
#[derive(Debug, thiserror::Error)]
pub(super) enum TriggerError {
    #[error(transparent)]
    Prometheus(#[from] PrometheusError),
    #[error("{url}: expected status 200, got {status}")]
    Status { url: String, status: u16 },
    #[error("no process whose program is {0:?} (--reloader.process-name)")]
    NoProcess(String),
    #[error("SIGHUP to process {pid}: {source}")]
    Signal { pid: i32, source: rustix::io::Errno },
    #[error("Prometheus says that it could not read its files")]
    Refused,
    #[error("Prometheus has not read its files {0:?} after the signal")]
    Late(Duration),
}

/// Part of `/api/v1/status/runtimeinfo`.
#[derive(Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RuntimeInfo {
    reload_config_success: bool,
    last_config_time: String,
}

pub(super) async fn reload(prometheus: &Prometheus, method: &ReloadMethod) -> Result<(), TriggerError> {
    match method {
        ReloadMethod::Http => by_http(prometheus).await,
        ReloadMethod::Signal(name) => by_signal(prometheus, name).await,
    }
}

async fn by_http(prometheus: &Prometheus) -> Result<(), TriggerError> {
    let answer = prometheus.send(prometheus.request(Method::POST, &["-", "reload"], &[])?).await?;
    match answer.status {
        200 => Ok(()),
        status => Err(TriggerError::Status { url: answer.url.to_string(), status }),
    }
}

async fn by_signal(prometheus: &Prometheus, name: &str) -> Result<(), TriggerError> {
    let ask = || async {
        Ok::<_, PrometheusError>(prometheus.call::<RuntimeInfo>(&["status", "runtimeinfo"], &[]).await?.data)
    };
    let before = ask().await?;
    let pid = find_process(name).ok_or_else(|| TriggerError::NoProcess(name.to_owned()))?;
    let number = pid.as_raw_nonzero().get();
    kill_process(pid, Signal::HUP).map_err(|source| TriggerError::Signal { pid: number, source })?;
    for _ in 0..OUTCOME_LOOKS {
        tokio::time::sleep(OUTCOME_INTERVAL).await;
        let now = ask().await?;
        if now.reload_config_success && now.last_config_time != before.last_config_time {
            return Ok(());
        }
        if before.reload_config_success && !now.reload_config_success {
            return Err(TriggerError::Refused);
        }
    }
    Err(TriggerError::Late(OUTCOME_INTERVAL * OUTCOME_LOOKS as u32))
}

/// The first process, by number, whose program has this name.
fn find_process(name: &str) -> Option<Pid> {
    let entries = std::fs::read_dir("/proc").ok()?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let runs = |number: &i32| {
        let program = std::fs::read_link(format!("/proc/{number}/exe")).unwrap_or_default();
        program.file_name().is_some_and(|file| Path::new(file) == Path::new(name))
    };
    numbers.filter(runs).min().and_then(Pid::from_raw)
}
