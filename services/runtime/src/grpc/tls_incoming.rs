//! TLS handshakes of accepted connections.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tracing::debug;

use crate::listener::accept;
use crate::tls::{ServerTls, handshake};

/// Number of connections that may wait to be served.
const WAITING_MAX: usize = 64;

/// Accepts connections, with concurrent handshakes; connections whose handshake fails are dropped.
pub(super) fn incoming(listener: TcpListener, tls: ServerTls) -> ReceiverStream<io::Result<TlsConnection>> {
    let (ready, connections) = tokio::sync::mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                stream = accept(&listener) => stream,
                () = ready.closed() => return,
            };
            let (ready, config) = (ready.clone(), tls.config());
            tokio::spawn(async move {
                if let Err(error) = stream.set_nodelay(true) {
                    return debug!(error = %error, "connection is gone");
                }
                if let Some(stream) = handshake(config, stream).await {
                    // The server may have ended meanwhile.
                    drop(ready.send(Ok(TlsConnection(stream))).await);
                }
            });
        }
    });
    ReceiverStream::new(connections)
}

/// A connection with TLS.
pub(super) struct TlsConnection(TlsStream<TcpStream>);

impl Connected for TlsConnection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.0.get_ref().0.connect_info()
    }
}

impl AsyncRead for TlsConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, out)
    }
}

impl AsyncWrite for TlsConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
