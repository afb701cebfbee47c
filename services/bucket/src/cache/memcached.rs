//! Client of memcached's text protocol: `get` of several keys, `set`. <https://docs.memcached.org/protocols/basic/>
//!
//! Written here instead of using a library: only two commands are needed, and lengths sent by a server must be bounded.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::jump::server_of;
use super::remote::RemoteError;
use super::servers::Servers;

/// Several servers; each key belongs to one of them.
#[derive(Debug)]
pub(super) struct Memcached {
    servers: Servers,
    /// Longest value that is accepted.
    item_bytes_max: usize,
    /// Number of keys in one command; 0 means no limit.
    keys_max: usize,
}

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

impl Memcached {
    /// Asks these servers.
    pub(super) fn new(servers: Servers, keys_max: usize, item_max: u64) -> Memcached {
        Memcached { servers, item_bytes_max: usize::try_from(item_max).unwrap_or(usize::MAX), keys_max }
    }

    pub(super) async fn get(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, RemoteError> {
        let servers = self.servers.now().await?;
        let mut by_server = vec![Vec::new(); servers.len()];
        for (i, key) in keys.iter().enumerate() {
            by_server[server_of(key, servers.len())].push(i);
        }
        let most = if self.keys_max == 0 { usize::MAX } else { self.keys_max };
        let asked = by_server.iter().zip(&*servers).flat_map(|(places, server)| {
            places.chunks(most).map(move |places| server.get(keys, places, self.item_bytes_max))
        });
        let mut out = vec![None; keys.len()];
        for (i, bytes) in try_join_all(asked).await?.into_iter().flatten() {
            out[i] = Some(bytes);
        }
        Ok(out)
    }

    pub(super) async fn put(&self, items: &[(String, Bytes)], ttl: Duration) -> Result<(), RemoteError> {
        let expires = (tithon_runtime::since_1970() + ttl).as_secs();
        let servers = self.servers.now().await?;
        for (server, at) in servers.iter().zip(0..) {
            let mine: Vec<_> = items.iter().filter(|(key, _)| server_of(key, servers.len()) == at).collect();
            if !mine.is_empty() {
                server.put(&mine, expires).await?;
            }
        }
        Ok(())
    }
}

impl Server {
    /// A server at `host:port`; of its connections at most `idle_max` are kept.
    pub(super) fn new(address: String, idle_max: usize) -> Server {
        Server { address, idle: Mutex::default(), idle_max }
    }

    /// The values of the keys at `places`, each with its place.
    async fn get(
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

    async fn put(&self, items: &[&(String, Bytes)], expires: u64) -> Result<(), RemoteError> {
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

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A server that answers any command with these bytes and closes.
    async fn server(answer: &'static [u8]) -> Memcached {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 1024];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(answer).await;
            }
        });
        Memcached::new(Servers::of([address], 1), 0, 100)
    }

    async fn get(answer: &'static [u8]) -> Result<Vec<Option<Bytes>>, String> {
        let keys = ["a".to_owned(), "b".to_owned()];
        server(answer).await.get(&keys).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn answers_that_are_right() {
        assert_eq!(get(b"END\r\n").await, Ok(vec![None, None]));
        let b = Some(Bytes::from_static(b"xyz"));
        assert_eq!(get(b"VALUE b 0 3\r\nxyz\r\nEND\r\n").await, Ok(vec![None, b]));
    }

    #[tokio::test]
    async fn answers_that_are_wrong() {
        for (answer, part) in [
            (&b""[..], "unexpected end of file"),
            (b"VALUE b 0 3\r\nxyz", ""),
            (b"VALUE c 0 3\r\nxyz\r\nEND\r\n", "VALUE c"),
            (b"VALUE a 0 99999999999\r\n", "VALUE a"),
            (b"VALUE a 0 -1\r\n", "VALUE a"),
            (b"VALUE a 0\r\n", "VALUE a"),
            (b"VALUE b 0 1\r\nx\r\nVALUE b 0 1\r\nx\r\nEND\r\n", "VALUE b"),
            (b"VALUE a 0 3\r\nwxyz\r\n", "end of a line"),
            (b"ERROR\r\n", "ERROR"),
            (b"\xff\xff\r\n", "line of text"),
            (&[b'x'; 2000], "line of text"),
        ] {
            let error = get(answer).await.unwrap_err();
            assert!(error.contains(part), "{answer:?}: {error}");
        }
    }
}
