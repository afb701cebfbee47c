//! A cache on several memcached servers.

use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;

use super::error::RemoteError;
use super::jump::server_of;
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
