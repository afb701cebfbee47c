//! Connections to gRPC servers, in clear text or with TLS.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::RequestLog;
use crate::calls::{ClientCalls, Side, Watch, Watched};
use crate::grpc::{GrpcEncoding, Packing};
use crate::tls::ClientTls;

/// Options of a connection.
#[derive(Clone, Default)]
pub struct DialOptions {
    /// TLS; `None` is clear text.
    pub tls: Option<ClientTls>,
    /// Metrics of the calls; `None` counts none.
    pub calls: Option<ClientCalls>,
    /// Compression of requests, which is also asked for in answers; `None` for none.
    pub encoding: Option<GrpcEncoding>,
    /// Longest decompressed message that is accepted, in bytes.
    pub message_bytes_max: usize,
}

/// A channel to `endpoint`, whose URL has the scheme `http` even with TLS. Connects at the first call and reconnects by
/// itself. Calls are counted and traced. Must be called inside a tokio runtime.
pub fn dial(endpoint: Endpoint, options: DialOptions) -> GrpcChannel {
    let DialOptions { tls, calls, encoding, message_bytes_max } = options;
    let service = Packing { service: channel(endpoint, tls), encoding, bytes_max: message_bytes_max };
    let watch = Watch { side: Side::Client, metrics: calls.map(|calls| calls.0), log: RequestLog::default() };
    Watched { service, watch }
}

/// A channel whose calls are counted, traced and compressed.
pub type GrpcChannel = Watched<Packing<Channel>>;

/// Like [`dial`], without metrics, tracing and compression.
pub fn channel(endpoint: Endpoint, tls: Option<ClientTls>) -> Channel {
    let Some(tls) = tls else { return endpoint.connect_lazy() };
    let connect = move |address: Uri| {
        let tls = tls.clone();
        async move { connect(&address, &tls).await.map(TokioIo::new) }
    };
    endpoint.connect_with_connector_lazy(tower::service_fn(connect))
}

async fn connect(address: &Uri, tls: &ClientTls) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidInput, reason);
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = address.port_u16().ok_or_else(|| invalid(format!("{address} has no port")))?;
    let name = tls.server_name(host).map_err(|e| invalid(e.to_string()))?;
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(tls.config()).connect(name, stream).await
}
