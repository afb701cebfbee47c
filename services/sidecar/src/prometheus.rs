//! Requests to a Prometheus: JSON API, metrics, remote read. Thanos `pkg/promclient/promclient.go`.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use reqwest::header::AUTHORIZATION;
use reqwest::{Method, RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tithon_chunks::TimeRange;
use tithon_index::Matcher;
use tithon_runtime::{HttpAnswer, HttpClient, HttpError, trace_headers};

use crate::pieces::PieceThread;
use crate::{HttpClientConfig, HttpClientError, PrometheusError};

/// Longest answer in bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 1 << 30;
/// Longest part of an error's body that is shown, in bytes.
const ERROR_BYTES_MAX: usize = 4096;

/// A Prometheus at a URL. Clones share connections.
#[derive(Clone, Debug)]
pub struct Prometheus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: Url,
    client: HttpClient,
    config: HttpClientConfig,
    /// Receives long answers; started by the first.
    thread: OnceLock<PieceThread>,
}

/// The envelope of the JSON API's answers.
#[derive(Deserialize)]
struct Envelope<T> {
    status: String,
    data: Option<T>,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

/// An answer of the JSON API.
pub(crate) struct Answer<T> {
    pub(crate) data: T,
    pub(crate) warnings: Vec<String>,
}

impl Prometheus {
    /// The server at `base`, whose path is a prefix of the API's paths.
    ///
    /// Fails when the files of the client's configuration cannot be read.
    pub fn new(base: Url, config: HttpClientConfig) -> Result<Prometheus, HttpClientError> {
        let client = config.http_client()?;
        config.authorization()?;
        Ok(Prometheus(Arc::new(Inner { base, client, config, thread: OnceLock::new() })))
    }

    /// The server's URL.
    pub fn url(&self) -> &Url {
        &self.0.base
    }

    /// The thread that receives long answers. Fails when it cannot be started.
    pub(crate) fn thread(&self) -> Result<&PieceThread, PrometheusError> {
        if let Some(thread) = self.0.thread.get() {
            return Ok(thread);
        }
        let thread = PieceThread::start(&self.0.config)?;
        Ok(self.0.thread.get_or_init(|| thread))
    }

    /// A request to a path of the server, with the configured credentials.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &[&str],
        pairs: &[(&str, String)],
    ) -> Result<RequestBuilder, PrometheusError> {
        self.request_by(&self.0.client, method, path, pairs)
    }

    /// The same, to be sent by another client.
    pub(crate) fn request_by(
        &self,
        client: &HttpClient,
        method: Method,
        path: &[&str],
        pairs: &[(&str, String)],
    ) -> Result<RequestBuilder, PrometheusError> {
        let mut url = self.0.base.clone();
        let shown = url.to_string();
        let answer = |reason: String| PrometheusError::Answer { url: shown.clone(), reason };
        url.path_segments_mut()
            .map_err(|()| answer("the URL of Prometheus can have no path".to_owned()))?
            .pop_if_empty()
            .extend(path);
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let mut request = client.requests().request(method, url);
        // Read at each request, because files with tokens may be replaced.
        if let Some(value) = self.0.config.authorization().map_err(|e| answer(e.to_string()))? {
            request = request.header(AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Sends a request. Fails when the status is not a success.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<HttpAnswer, PrometheusError> {
        self.send_by(&self.0.client, request).await
    }

    /// The same by another client.
    pub(crate) async fn send_by(
        &self,
        client: &HttpClient,
        request: RequestBuilder,
    ) -> Result<HttpAnswer, PrometheusError> {
        let request = request.headers(trace_headers()).build();
        let request = request.map_err(|error| failed(&self.0.base, error.into()))?;
        let url = request.url().clone();
        let mut answer = client.send(request).await.map_err(|error| failed(&url, error))?;
        if (200..300).contains(&answer.status) {
            return Ok(answer);
        }
        let mut body = BytesMut::new();
        while body.len() < ERROR_BYTES_MAX && matches!(answer.read(&mut body).await, Ok(true)) {}
        body.truncate(ERROR_BYTES_MAX);
        Err(PrometheusError::Status {
            url: answer.url.to_string(),
            status: answer.status,
            body: String::from_utf8_lossy(&body).trim_end().to_owned(),
        })
    }

    /// The URL and body of the answer to a GET request.
    pub(crate) async fn get(
        &self,
        path: &[&str],
        pairs: &[(&str, String)],
    ) -> Result<(Url, BytesMut), PrometheusError> {
        let answer = self.send(self.request(Method::GET, path, pairs)?).await?;
        let url = answer.url.clone();
        Ok((url, body(answer).await?))
    }

    /// Calls the JSON API. An answer without data yields the default.
    pub(crate) async fn call<T: DeserializeOwned + Default>(
        &self,
        path: &[&str],
        pairs: &[(&str, String)],
    ) -> Result<Answer<T>, PrometheusError> {
        let path: Vec<&str> = ["api", "v1"].iter().chain(path).copied().collect();
        let (url, body) = self.get(&path, pairs).await?;
        if body.is_empty() {
            return Ok(Answer { data: T::default(), warnings: Vec::new() });
        }
        let answer = |reason: String| PrometheusError::Answer { url: url.to_string(), reason };
        let envelope: Envelope<T> = serde_json::from_slice(&body)
            .map_err(|e| answer(format!("expected an answer of Prometheus's API: {e}")))?;
        if envelope.status != "success" {
            return Err(answer(envelope.error));
        }
        Ok(Answer { data: envelope.data.unwrap_or_default(), warnings: envelope.warnings })
    }

    /// Reads the server's own metrics, and returns the value of a metric without labels.
    pub(crate) async fn own_metric(&self, name: &str) -> Result<f64, PrometheusError> {
        let (url, body) = self.get(&["metrics"], &[]).await?;
        let answer = |reason: String| PrometheusError::Answer { url: url.to_string(), reason };
        let text = String::from_utf8_lossy(&body);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.ok_or_else(|| answer(format!("metric families did not contain '{name}'")))?;
        let first = value.split_whitespace().next().unwrap_or_default();
        first.parse().map_err(|_| answer(format!("{name}: expected a number, found {first:?}")))
    }
}

/// The whole body of an answer.
async fn body(mut answer: HttpAnswer) -> Result<BytesMut, PrometheusError> {
    let mut body = BytesMut::new();
    while answer.read(&mut body).await.map_err(|error| failed(&answer.url, error))? {
        if body.len() > ANSWER_BYTES_MAX {
            return Err(PrometheusError::TooLong { url: answer.url.to_string(), max: ANSWER_BYTES_MAX });
        }
    }
    Ok(body)
}

/// The error of a request to `url`.
pub(crate) fn failed(url: &Url, source: HttpError) -> PrometheusError {
    PrometheusError::Request { url: url.to_string(), source }
}

/// Waits for an answer at most for `limit`.
pub(crate) async fn in_time<T>(
    prometheus: &Prometheus,
    limit: Duration,
    answer: impl Future<Output = Result<T, PrometheusError>>,
) -> Result<T, PrometheusError> {
    let late = |_| PrometheusError::Late { url: prometheus.url().to_string(), limit };
    tokio::time::timeout(limit, answer).await.map_err(late)?
}

/// The text of matchers as a selector.
pub(crate) fn selector(matchers: &[Matcher]) -> String {
    let mut text = "{".to_owned();
    for (i, matcher) in matchers.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}{matcher}");
    }
    text.push('}');
    text
}

/// The parameters `start` and `end`, in seconds.
pub(crate) fn time_pairs(range: TimeRange) -> [(&'static str, String); 2] {
    [("start", seconds(range.min.0)), ("end", seconds(range.max.0))]
}

/// Formats milliseconds as decimal seconds.
fn seconds(millis: i64) -> String {
    let (sign, millis) = (if millis < 0 { "-" } else { "" }, millis.unsigned_abs());
    format!("{sign}{}.{:03}", millis / 1000, millis % 1000)
}

#[cfg(test)]
mod tests {
    use tithon_index::MatchOp;

    use super::*;

    #[test]
    fn times_and_selectors_of_requests() {
        assert_eq!(seconds(1_710_028_800_123), "1710028800.123");
        assert_eq!(seconds(-5), "-0.005");
        assert_eq!(seconds(i64::MIN), "-9223372036854775.808");
        let matchers = [
            Matcher::new(MatchOp::Equal, "job", "a\"b").unwrap(),
            Matcher::new(MatchOp::NotRegex, "host.name", "x.*").unwrap(),
        ];
        assert_eq!(selector(&matchers), r#"{job="a\"b","host.name"!~"x.*"}"#);
    }
}
