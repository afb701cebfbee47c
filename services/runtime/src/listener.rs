//! Listening sockets.

use std::net::SocketAddr;

use tokio::net::{TcpListener, lookup_host};

use crate::RuntimeError;

/// Listens on `host:port`; an empty host is every address, as in Go. Errors name the address.
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
