//! Listening sockets.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, lookup_host};

use crate::RuntimeError;

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Listens on `host:port`; an empty host means all addresses, as in Go. Fails when the address is invalid or in use.
pub(crate) async fn listen(address: &str) -> Result<(TcpListener, SocketAddr), RuntimeError> {
    let full = if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() };
    let bind = |source| RuntimeError::Bind { address: address.to_owned(), source };
    let resolved: Vec<SocketAddr> = lookup_host(&full)
        .await
        .map_err(|source| RuntimeError::Address { address: address.to_owned(), source })?
        .collect();
    let listener = TcpListener::bind(resolved.as_slice()).await.map_err(bind)?;
    let local = listener.local_addr().map_err(bind)?;
    Ok((listener, local))
}

/// Accepts the next connection. Errors of a single connection are ignored; after other errors, such as too many open
/// files, it pauses and tries again.
pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(error = %error, "no connection can be accepted for now");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let (_held, address) = listen("127.0.0.1:0").await.unwrap();
        let error = listen(&address.to_string()).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("listen on {address}: ")), "{error}");
        let error = listen("no-port").await.unwrap_err().to_string();
        assert!(error.starts_with("listen address \"no-port\": "), "{error}");
    }
}
