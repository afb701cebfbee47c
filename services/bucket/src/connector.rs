//! The HTTP client for requests to a provider. thanos-io/objstore `exthttp/transport.go`.

use std::time::Duration;

use object_store::client::{HttpClient, HttpConnector};
use object_store::{ClientConfigKey, ClientOptions};
use tithon_runtime::http_tls;

use crate::config::HttpConfig;

/// Timeout of a TCP connection, before TLS; also the interval of keep-alive probes.
const DIAL: Duration = Duration::from_secs(30);

/// Makes HTTP clients with the settings of `http_config`: HTTP 1.1, with the environment's proxy, without redirects.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    http: HttpConfig,
}

impl Connector {
    pub(crate) fn new(http: &HttpConfig) -> Connector {
        Connector { http: http.clone() }
    }

    /// Options that `object_store` adapts for some of its clients, such as that of a metadata server, before it calls
    /// [`Connector::connect`].
    pub(crate) fn options(http: &HttpConfig) -> ClientOptions {
        ClientOptions::new().with_timeout_disabled().with_connect_timeout(DIAL + http.tls_handshake_timeout.0)
    }

    /// A client. `timeout` limits a whole request, including its body.
    pub(crate) fn client(
        &self,
        connect_timeout: Duration,
        timeout: Option<Duration>,
    ) -> object_store::Result<reqwest::Client> {
        let HttpConfig { idle_conn_timeout, response_header_timeout, max_idle_conns_per_host, .. } =
            self.http;
        let tls = http_tls(&self.http.tls()).map_err(failed)?;
        let idle = match usize::try_from(max_idle_conns_per_host) {
            Ok(0) => 2,
            Ok(n) => n,
            Err(_) => 0,
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .user_agent(concat!("tithon/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(connect_timeout)
            .tcp_keepalive(DIAL)
            .pool_idle_timeout(idle_conn_timeout.limit())
            .pool_max_idle_per_host(idle);
        if let Some(timeout) = response_header_timeout.limit() {
            builder = builder.read_timeout(timeout);
        }
        if let Some(timeout) = timeout {
            builder = builder.timeout(timeout);
        }
        builder.build().map_err(failed)
    }
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let span = |key| humantime::parse_duration(&options.get_config_value(&key)?).ok();
        let connect_timeout = span(ClientConfigKey::ConnectTimeout).unwrap_or(DIAL);
        Ok(HttpClient::new(self.client(connect_timeout, span(ClientConfigKey::Timeout))?))
    }
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "http_config", source: Box::new(error) }
}
