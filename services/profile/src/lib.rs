//! Profiles of a running process under `/debug/pprof/`, as in Go's servers, for `go tool pprof` and Parca: CPU time,
//! memory, and a list of threads. Go `net/http/pprof`.

mod allocator;
mod cpu;
mod heap;
mod message;
mod threads;

use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

pub use self::allocator::Allocator;

/// The routes: `/debug/pprof/`, and below it `profile`, `heap`, `allocs`, `goroutine` and `cmdline`.
pub fn router() -> Router {
    Router::new()
        .route("/debug/pprof/", get(async || Html(INDEX)))
        .route("/debug/pprof/profile", get(cpu))
        .route("/debug/pprof/heap", get(heap))
        .route("/debug/pprof/allocs", get(heap))
        .route("/debug/pprof/goroutine", get(async || threads::text()))
        .route("/debug/pprof/cmdline", get(async || command_line()))
}

const INDEX: &str = "<!doctype html><title>/debug/pprof/</title><h1>/debug/pprof/</h1><ul>\
<li><a href=\"profile?seconds=10\">profile</a>: processor time for so many seconds, by function\
<li><a href=\"heap?seconds=10\">heap</a>, allocs: memory that is taken, and of it what is kept, for so many seconds\
<li><a href=\"goroutine\">goroutine</a>: the threads, what they do and their processor time\
<li><a href=\"cmdline\">cmdline</a>: the command line</ul><p>For <code>go tool pprof URL</code>.";

/// Query parameters of a profile.
#[derive(Deserialize)]
struct For {
    seconds: Option<u64>,
}

/// Longest profile in seconds.
const SECONDS_MAX: u64 = 600;

impl For {
    /// The requested duration, or Go's default for CPU profiles.
    fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.filter(|seconds| *seconds > 0).unwrap_or(30).min(SECONDS_MAX))
    }
}

async fn cpu(Query(time): Query<For>) -> Response {
    answer(cpu::profile(time.duration()).await)
}

async fn heap(Query(time): Query<For>) -> Response {
    answer(heap::profile(time.duration()).await)
}

/// The response with a profile, or with Go's text for the error.
fn answer(profile: Result<Vec<u8>, ProfileError>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"profile\""),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    match profile {
        Ok(bytes) => (headers, bytes).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// The arguments of the process, separated by zero bytes.
fn command_line() -> Vec<u8> {
    let mut text = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    text.pop();
    text
}

/// Why a profile cannot be taken.
#[derive(Debug, thiserror::Error)]
enum ProfileError {
    #[error("could not enable profiling: a profile of this kind is being taken already")]
    Busy,
    #[error("could not enable profiling: {0}")]
    Cpu(#[from] pprof::Error),
    #[error("the profile was lost: {0}")]
    Lost(#[from] tokio::task::JoinError),
    #[error("the profile cannot be packed: {0}")]
    Pack(#[from] std::io::Error),
}
