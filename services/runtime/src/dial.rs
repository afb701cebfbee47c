//! Connections to gRPC servers, in clear text or behind TLS.

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

/// How a server is spoken to.
#[derive(Clone, Default)]
pub struct DialOptions {
    /// Speak TLS; `None` is clear text.
    pub tls: Option<ClientTls>,
    /// Counts the calls; `None` counts none.
    pub calls: Option<ClientCalls>,
    /// Packs requests, and asks for packed answers. `None` sends them as they are.
    pub encoding: Option<GrpcEncoding>,
    /// The longest message that a packed one may become, in bytes.
    pub message_bytes_max: usize,
}

/// A channel to `endpoint`, whose address has the scheme `http` in any case. It connects when it is first used, and again
/// whenever it must. Calls are counted and traced. Must be called inside a tokio runtime.
pub fn dial(endpoint: Endpoint, options: DialOptions) -> GrpcChannel {
    let DialOptions { tls, calls, encoding, message_bytes_max } = options;
    let service = Packing { service: channel(endpoint, tls), encoding, bytes_max: message_bytes_max };
    let watch = Watch { side: Side::Client, metrics: calls.map(|calls| calls.0), log: RequestLog::default() };
    Watched { service, watch }
}

/// A connection whose calls are counted, traced and packed.
pub type GrpcChannel = Watched<Packing<Channel>>;

/// Like [`dial`], for calls that nobody is told of, in messages as they are.
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
