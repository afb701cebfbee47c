//! Logging of HTTP requests. Thanos `pkg/logging/http.go`.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{debug, error};

use super::RequestLog;
use crate::Client;
use crate::request_id::REQUEST_ID;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Middleware that logs the start and the end of requests as configured. Answers with status 200 to 499 have level
/// debug, others level error.
pub(crate) async fn log_request(State(log): State<RequestLog>, request: Request, next: Next) -> Response {
    let decision = log.0.http;
    if !is_chosen(&log.0.paths, request.uri(), request.headers()) {
        return next.run(request).await;
    }
    let asked = Asked::of(&request);
    let begun = Instant::now();
    if decision.at_start && decision.with_debug {
        asked.log_start();
    }
    let response = next.run(request).await;
    asked.log_end(response.status().as_u16(), begun.elapsed().as_secs_f64() * 1e3, decision.with_debug);
    response
}

/// The fields of a request's log lines.
struct Asked {
    method: String,
    id: String,
    agent: String,
    remote: String,
    name: String,
}

impl Asked {
    fn of(request: &Request) -> Asked {
        let text = |name: &HeaderName| {
            let value = request.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let peer = request.extensions().get::<Arc<Client>>().and_then(|client| client.address);
        let peer = peer.map(|address| address.to_string()).unwrap_or_default();
        Asked {
            method: format!("{} {}", request.method(), request.uri()),
            id: text(&REQUEST_ID),
            agent: text(&header::USER_AGENT),
            remote: Some(text(&FORWARDED_FOR)).filter(|forwarded| !forwarded.is_empty()).unwrap_or(peer),
            name: request.uri().path().to_owned(),
        }
    }

    fn log_start(&self) {
        debug!(
            protocol = "http",
            http.method = self.method,
            http.request_id = self.id,
            http.user_agent = self.agent,
            thanos.method_name = self.name,
            "started call"
        );
    }

    fn log_end(&self, code: u16, took_ms: f64, with_debug: bool) {
        macro_rules! line {
            ($level:ident) => {
                $level!(
                    protocol = "http",
                    http.method = self.method,
                    http.request_id = self.id,
                    http.user_agent = self.agent,
                    http.status_code = code,
                    http.time_ms = took_ms,
                    http.remote_addr = self.remote,
                    thanos.method_name = self.name,
                    "finished call"
                )
            };
        }
        if !(200..500).contains(&code) {
            line!(error);
        } else if with_debug {
            line!(debug);
        }
    }
}

/// Whether a request's path and the port of its `Host` are in `paths`; an empty list accepts all.
fn is_chosen(paths: &[(String, u16)], uri: &Uri, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let port = host.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    paths.is_empty() || paths.iter().any(|(path, of)| path == uri.path() && Some(*of) == port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_chosen_by_path_and_port() {
        let paths = [("/api/v1/query".to_owned(), 10902)];
        let chosen = |uri: &str, host: &'static str| {
            let headers = HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
            is_chosen(&paths, &uri.parse().unwrap(), &headers)
        };
        assert!(chosen("/api/v1/query?query=up", "h:10902"));
        assert!(!chosen("/api/v1/query", "h:1") && !chosen("/api/v1/query", "h"));
        assert!(!chosen("/api/v1/labels", "h:10902"));
        assert!(is_chosen(&[], &"/x".parse().unwrap(), &HeaderMap::new()));
    }
}
