//! Client of memcached's text protocol: `get` of several keys, `set`. <https://docs.memcached.org/protocols/basic/>
//!
//! Written here instead of using a library: only two commands are needed, and lengths sent by a server must be bounded.

use std::io;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::error::RemoteError;

/// A server, and connections to it that nobody uses now.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: String,
    idle: Mutex<Vec<Connection>>,
    idle_max: usize,
}

type Connection = BufReader<TcpStream>;

/// Longest line of an answer: keys have at most 250 bytes.
const LINE_MAX: u64 = 512;

impl Server {
    /// A server at `host:port`; of its connections at most `idle_max` are kept.
    pub(super) fn new(address: String, idle_max: usize) -> Server {
        Server { address, idle: Mutex::default(), idle_max }
    }

    /// The values of the keys at `places`, each with its place.
    pub(super) async fn get(
        &self,
        keys: &[String],
        places: &[usize],
        item_max: usize,
    ) -> Result<Vec<(usize, Bytes)>, RemoteError> {
        let mut command = String::from("get");
        for i in places {
            command.push(' ');
            command += &keys[*i];
        }
        command += "\r\n";
        let mut connection = self.connect().await?;
        connection.write_all(command.as_bytes()).await.map_err(|e| self.io(e))?;
        let (mut found, mut left) = (Vec::new(), places.iter());
        loop {
            let line = self.line(&mut connection).await?;
            if line == "END" {
                break;
            }
            let wrong = || self.answer(&line, "VALUE of a key that was asked for, or END");
            let mut words = line.strip_prefix("VALUE ").ok_or_else(wrong)?.split(' ');
            let (key, len) =
                (words.next().unwrap_or_default(), words.nth(1).and_then(|len| len.parse().ok()));
            // Values come in the order of the keys, without those that are missing.
            let place = left.by_ref().find(|i| keys[**i] == key).ok_or_else(wrong)?;
            let len: usize = len.filter(|len| *len <= item_max).ok_or_else(wrong)?;
            let mut bytes = vec![0; len + 2];
            connection.read_exact(&mut bytes).await.map_err(|e| self.io(e))?;
            if !bytes.ends_with(b"\r\n") {
                return Err(self.answer("other bytes", "the end of a line behind a value"));
            }
            bytes.truncate(len);
            found.push((*place, bytes.into()));
        }
        self.give_back(connection).await;
        Ok(found)
    }

    /// Stores items until the time `expires`, in seconds since 1970.
    pub(super) async fn put(&self, items: &[&(String, Bytes)], expires: u64) -> Result<(), RemoteError> {
        let mut connection = self.connect().await?;
        for (key, bytes) in items {
            let head = format!("set {key} 0 {expires} {}\r\n", bytes.len());
            let command = [head.as_bytes(), bytes, b"\r\n"].concat();
            connection.write_all(&command).await.map_err(|e| self.io(e))?;
            let line = self.line(&mut connection).await?;
            if line != "STORED" {
                return Err(self.answer(&line, "STORED"));
            }
        }
        self.give_back(connection).await;
        Ok(())
    }

    async fn connect(&self) -> Result<Connection, RemoteError> {
        if let Some(connection) = self.idle.lock().await.pop() {
            return Ok(connection);
        }
        let stream = TcpStream::connect(&self.address).await.map_err(|e| self.io(e))?;
        stream.set_nodelay(true).map_err(|e| self.io(e))?;
        Ok(BufReader::new(stream))
    }

    /// Keeps a connection for reuse. Called only after a complete answer; other connections are closed.
    async fn give_back(&self, connection: Connection) {
        let mut idle = self.idle.lock().await;
        if idle.len() < self.idle_max {
            idle.push(connection);
        }
    }

    async fn line(&self, connection: &mut Connection) -> Result<String, RemoteError> {
        let mut line = Vec::new();
        let read = connection.take(LINE_MAX).read_until(b'\n', &mut line).await;
        read.map_err(|e| self.io(e))?;
        match line.strip_suffix(b"\r\n").map(str::from_utf8) {
            Some(Ok(line)) => Ok(line.to_owned()),
            _ if line.is_empty() => Err(self.io(io::ErrorKind::UnexpectedEof.into())),
            _ => Err(self.answer(&String::from_utf8_lossy(&line), "a line of text")),
        }
    }

    fn io(&self, source: io::Error) -> RemoteError {
        RemoteError::Io { server: self.address.clone(), source }
    }

    fn answer(&self, found: &str, expected: &'static str) -> RemoteError {
        RemoteError::Answer { server: self.address.clone(), found: found.to_owned(), expected }
    }
}
