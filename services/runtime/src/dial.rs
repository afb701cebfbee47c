//! Connections to gRPC servers, in clear text or behind TLS.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use crate::calls::{ClientCalls, Counted};
use crate::tls::ClientTls;

/// A channel to `endpoint`, whose address has the scheme `http` in any case. It connects when it is first used, and again
/// whenever it must. Calls are counted by `calls`. Must be called inside a tokio runtime.
pub fn dial(endpoint: Endpoint, tls: Option<ClientTls>, calls: Option<ClientCalls>) -> GrpcChannel {
    Counted { service: channel(endpoint, tls), metrics: calls.map(|calls| calls.0) }
}

/// A connection whose calls are counted.
pub type GrpcChannel = Counted<Channel>;

fn channel(endpoint: Endpoint, tls: Option<ClientTls>) -> Channel {
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
