//! The collector's client: OTLP over gRPC or HTTP.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    Compression, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::SpanData;
use tithon_runtime::{ClientTls, ClientTlsOptions, TlsVersion, channel, http_tls};
use tokio::runtime::Handle;
use tonic::metadata::MetadataMap;
use tonic::transport::Endpoint;

use crate::TraceError;

/// Default timeout of a request, as in OpenTelemetry's clients.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// The collector, and how spans are sent to it.
pub(crate) struct Target {
    pub(crate) transport: Transport,
    /// `host:port`.
    pub(crate) endpoint: String,
    /// TLS; `None` is clear text.
    pub(crate) tls: Option<ClientTlsOptions>,
    /// Headers of each request; they may hold secrets.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) gzip: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) retry: Retry,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Grpc,
    Http { path: String },
}

/// Retries of failed requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
    /// Time after which a batch is given up.
    pub(crate) total: Duration,
}

impl Default for Retry {
    /// The defaults of OpenTelemetry's Go clients.
    fn default() -> Retry {
        Retry {
            first: Duration::from_secs(5),
            longest: Duration::from_secs(30),
            total: Duration::from_secs(60),
        }
    }
}

impl Retry {
    /// A policy whose retries take about the same total time: pauses double from `first` to `longest`.
    fn policy(self) -> RetryPolicy {
        let (mut wait, mut waited, mut retries) = (self.first, Duration::ZERO, 0);
        while !wait.is_zero() && waited + wait <= self.total && retries < 100 {
            waited += wait;
            retries += 1;
            wait = (wait * 2).min(self.longest);
        }
        RetryPolicy::recommended()
            .with_max_retries(retries)
            .with_initial_delay(self.first)
            .with_max_delay(self.longest)
    }
}

impl Target {
    /// TLS with the system's certificates.
    pub(crate) fn default_tls() -> ClientTlsOptions {
        let min_version = TlsVersion::V12;
        ClientTlsOptions { ca: None, identity: None, server_name: None, skip_verify: false, min_version }
    }

    /// Makes the exporter. Must be called inside the runtime of `handle`.
    pub(crate) fn exporter(&self, handle: &Handle) -> Result<SpanExporter, TraceError> {
        let timeout = self.timeout.unwrap_or(TIMEOUT);
        let exporter = match &self.transport {
            Transport::Grpc => {
                let mut builder = SpanExporter::builder()
                    .with_tonic()
                    .with_channel(self.channel()?)
                    .with_metadata(self.metadata()?)
                    .with_timeout(timeout)
                    .with_retry_policy(self.retry.policy());
                if self.gzip {
                    builder = builder.with_compression(Compression::Gzip);
                }
                builder.build()
            }
            Transport::Http { path } => {
                let scheme = if self.tls.is_some() { "https" } else { "http" };
                let mut builder = SpanExporter::builder()
                    .with_http()
                    .with_endpoint(format!("{scheme}://{}{path}", self.endpoint))
                    .with_http_client(self.http_client(handle, timeout)?)
                    .with_headers(self.headers.iter().cloned().collect())
                    .with_timeout(timeout)
                    .with_retry_policy(self.retry.policy());
                if self.gzip {
                    builder = builder.with_compression(Compression::Gzip);
                }
                builder.build()
            }
        };
        exporter.map_err(|error| TraceError::Client(error.to_string()))
    }

    fn channel(&self) -> Result<tonic::transport::Channel, TraceError> {
        let wrong = |reason: String| TraceError::Setting { key: "endpoint", reason };
        let endpoint = Endpoint::from_shared(format!("http://{}", self.endpoint));
        let endpoint = endpoint.map_err(|_| wrong(format!("{:?}: expected HOST:PORT", self.endpoint)))?;
        Ok(channel(endpoint, self.tls.clone().map(ClientTls::new).transpose()?))
    }

    fn metadata(&self) -> Result<MetadataMap, TraceError> {
        let wrong =
            |name: &str| TraceError::Setting { key: "headers", reason: format!("{name:?} cannot be sent") };
        let mut headers = http::HeaderMap::new();
        for (name, value) in &self.headers {
            let key = HeaderName::try_from(name).map_err(|_| wrong(name))?;
            headers.insert(key, HeaderValue::try_from(value).map_err(|_| wrong(name))?);
        }
        Ok(MetadataMap::from_headers(headers))
    }

    fn http_client(&self, handle: &Handle, timeout: Duration) -> Result<OverHttp, TraceError> {
        let tls = http_tls(&self.tls.clone().unwrap_or_else(Target::default_tls))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .user_agent(concat!("tithon/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .timeout(timeout)
            .build()
            .map_err(|error| TraceError::Client(error.to_string()))?;
        Ok(OverHttp { client, handle: handle.clone() })
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// An HTTP client whose requests run on a runtime, whatever thread waits for them.
#[derive(Clone, Debug)]
struct OverHttp {
    client: reqwest::Client,
    handle: Handle,
}

#[async_trait]
impl HttpClient for OverHttp {
    async fn send_bytes(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sending = async move {
            let mut answer = client.execute(request.try_into()?).await?;
            let mut body = Vec::new();
            while let Some(part) = answer.chunk().await? {
                if body.len() + part.len() > ANSWER_BYTES_MAX {
                    return Err(format!("the answer has more than {ANSWER_BYTES_MAX} bytes").into());
                }
                body.extend_from_slice(&part);
            }
            let mut response = http::Response::new(Bytes::from(body));
            *response.status_mut() = answer.status();
            *response.headers_mut() = std::mem::take(answer.headers_mut());
            Ok::<_, HttpError>(response)
        };
        self.handle.spawn(sending).await?
    }
}

/// An exporter that is polled by a thread outside any runtime, but uses the timers and sockets of one.
#[derive(Debug)]
pub(crate) struct OnRuntime {
    exporter: SpanExporter,
    handle: Handle,
}

impl OnRuntime {
    pub(crate) fn new(exporter: SpanExporter, handle: Handle) -> OnRuntime {
        OnRuntime { exporter, handle }
    }
}

impl opentelemetry_sdk::trace::SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut exporting = pin!(self.exporter.export(batch));
        let done = poll_fn(|context| {
            let _inside = self.handle.enter();
            exporting.as_mut().poll(context)
        });
        done.await.inspect_err(|error| tracing::warn!(error = %error, "spans were not sent to the collector"))
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_fill_the_time_that_is_given() {
        let policy = format!("{:?}", Retry::default().policy());
        // Pauses of 5, 10 and 20 seconds; the next one of 30 would exceed the total.
        assert!(policy.contains("max_retries: 3"), "{policy}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let plan = crate::Plan::parse("type: LIGHTSTEP\nconfig: {access_token: hunter2}").unwrap();
        assert!(!format!("{plan:?}").contains("hunter2"));
    }
}
