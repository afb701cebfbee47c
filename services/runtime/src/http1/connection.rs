//! A connection in clear text with its buffer.

use std::io;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Head, Http1Fault, HttpError};

/// Bytes that are read at once of a short answer, and kept for the next one.
const SHORT_BYTES: usize = 16 << 10;
/// Bytes that are read at once of a long answer.
const LONG_BYTES: usize = 256 << 10;
/// Most interim answers before the answer.
const INTERIM_MAX: usize = 16;
/// A peer that is silent for so long is asked whether it is still there, and again after each such time.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Number of such questions without an answer before the connection is given up.
const KEEPALIVE_RETRIES: u32 = 3;

/// A connection. Its reads can be cancelled without loss.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// Received bytes that were not consumed yet.
    pub(super) input: BytesMut,
    /// How many bytes the next read makes room for.
    room: usize,
    silence_max: Option<Duration>,
}

impl Connection {
    /// Connects to the first address of `host` that accepts.
    pub(super) async fn open(
        host: &str,
        port: u16,
        connect_max: Option<Duration>,
        silence_max: Option<Duration>,
    ) -> Result<Connection, HttpError> {
        let wrong = |source| HttpError::Connect { address: format!("{host}:{port}"), source };
        let connecting = TcpStream::connect((host.trim_matches(['[', ']']), port));
        let connected = match connect_max {
            None => connecting.await,
            Some(limit) => tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| {
                Err(io::Error::new(io::ErrorKind::TimedOut, format!("not in {limit:?}")))
            }),
        };
        let stream = connected.map_err(wrong)?;
        stream.set_nodelay(true).map_err(wrong)?;
        let keepalive =
            TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(KEEPALIVE_RETRIES);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive).map_err(wrong)?;
        Ok(Connection { stream, input: BytesMut::new(), room: SHORT_BYTES, silence_max })
    }

    /// Whether nothing was received since the last answer, not even the end.
    pub(super) fn is_at_rest(&self) -> bool {
        let at_once = self.stream.try_read(&mut [0]);
        self.input.is_empty() && at_once.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends a request, and waits until something of its answer is there; `false` if the connection is closed before that.
    pub(super) async fn begin(&mut self, request: &[u8]) -> Result<bool, HttpError> {
        let sending = self.stream.write_all(request);
        match self.silence_max {
            None => sending.await?,
            Some(limit) => {
                tokio::time::timeout(limit, sending).await.map_err(|_| HttpError::Silent(limit))??
            }
        }
        self.receive().await
    }

    /// Receives more; `false` at the end.
    pub(super) async fn receive(&mut self) -> Result<bool, HttpError> {
        self.input.reserve(self.room);
        let room = self.input.capacity() - self.input.len();
        let reading = self.stream.read_buf(&mut self.input);
        let bytes = match self.silence_max {
            None => reading.await?,
            Some(limit) => {
                tokio::time::timeout(limit, reading).await.map_err(|_| HttpError::Silent(limit))??
            }
        };
        if bytes == room {
            self.room = LONG_BYTES;
        }
        Ok(bytes > 0)
    }

    /// The head of the answer, without those of interim answers.
    pub(super) async fn head(&mut self) -> Result<Head, HttpError> {
        let mut interim = 0;
        loop {
            let Some((head, bytes)) = Head::parse(&self.input)? else {
                if !self.receive().await? {
                    return Err(HttpError::CutShort);
                }
                continue;
            };
            self.input.advance(bytes);
            if !(100..200).contains(&head.status) {
                return Ok(head);
            }
            interim += 1;
            if head.status == 101 || interim > INTERIM_MAX {
                return Err(Http1Fault::Interim(head.status).into());
            }
        }
    }

    /// Gives back the memory of a long answer.
    pub(super) fn rest(&mut self) {
        if self.input.capacity() > SHORT_BYTES {
            self.input = BytesMut::new();
        }
        self.room = SHORT_BYTES;
    }
}
