//! Logging of gRPC calls. Thanos `pkg/logging/grpc.go`.

use std::time::Duration;

use axum::http::HeaderMap;
use tonic::Code;
use tracing::{debug, error};

use super::RequestLog;
use crate::request_id::request_of;

/// A call whose end will be logged.
pub(crate) struct LoggedCall {
    /// `/service/method`.
    path: String,
    /// ID of the request that the call is made for; empty if unknown.
    request: String,
}

impl RequestLog {
    /// Begins a call, and logs its start if configured; `None` if the call is not logged.
    pub(crate) fn begin(&self, path: &str, headers: &HeaderMap) -> Option<LoggedCall> {
        let choice = &self.0;
        let is_chosen = choice.methods.is_empty() || choice.methods.iter().any(|method| method == path);
        if !choice.grpc.at_end || !is_chosen {
            return None;
        }
        let call = LoggedCall { path: path.to_owned(), request: request_of(headers).to_owned() };
        if choice.grpc.at_start {
            let (service, method) = call.names();
            debug!(
                protocol = "grpc",
                grpc.service = service,
                grpc.method = method,
                grpc.request_id = call.request,
                "started call"
            );
        }
        Some(call)
    }
}

impl LoggedCall {
    fn names(&self) -> (&str, &str) {
        self.path.trim_start_matches('/').split_once('/').unwrap_or((&self.path, ""))
    }

    /// Logs the end of the call.
    pub(crate) fn end(&self, code: Code, took: Duration) {
        let (service, method) = self.names();
        let took_ms = took.as_secs_f64() * 1e3;
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    protocol = "grpc",
                    grpc.service = service,
                    grpc.method = method,
                    grpc.code = ?code,
                    grpc.time_ms = took_ms,
                    grpc.request_id = self.request,
                    "finished call"
                )
            };
        }
        match code {
            Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => line!(error),
            _ => line!(debug),
        }
    }
}
