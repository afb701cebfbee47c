//! Client of a redis server.

use std::time::Duration;

use bytes::Bytes;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use tokio::sync::OnceCell;

use super::error::RemoteError;

/// A redis server. Connects at the first use, and reconnects by itself.
#[derive(Debug)]
pub(super) struct Redis {
    client: Client,
    config: ConnectionManagerConfig,
    connection: OnceCell<ConnectionManager>,
    /// Prefix of every key.
    prefix: String,
    /// Number of keys in one command; 0 means no limit.
    keys_max: usize,
}

/// Address and credentials of a server.
pub(super) struct Login<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) username: &'a str,
    pub(super) password: &'a str,
    pub(super) db: i64,
    pub(super) dial_timeout: Duration,
    pub(super) timeout: Duration,
}

impl Redis {
    pub(super) fn new(login: &Login<'_>, prefix: &str, keys_max: usize) -> Result<Redis, RemoteError> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut settings = RedisConnectionInfo::default().set_db(login.db);
        if let Some(username) = some(login.username) {
            settings = settings.set_username(username);
        }
        if let Some(password) = some(login.password) {
            settings = settings.set_password(password);
        }
        let address = ConnectionAddr::Tcp(login.host.to_owned(), login.port);
        let info: ConnectionInfo = address.into_connection_info()?.set_redis_settings(settings);
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(1)
            .set_connection_timeout(Some(login.dial_timeout))
            .set_response_timeout(Some(login.timeout));
        let (client, connection) = (Client::open(info)?, OnceCell::new());
        Ok(Redis { client, config, connection, prefix: prefix.to_owned(), keys_max })
    }

    async fn connect(&self) -> Result<ConnectionManager, RemoteError> {
        let connect = || ConnectionManager::new_with_config(self.client.clone(), self.config.clone());
        Ok(self.connection.get_or_try_init(connect).await?.clone())
    }

    pub(super) async fn get(&self, keys: &[String]) -> Result<Vec<Option<Bytes>>, RemoteError> {
        let mut connection = self.connect().await?;
        let most = if self.keys_max == 0 { usize::MAX } else { self.keys_max };
        let mut out = Vec::with_capacity(keys.len());
        for part in keys.chunks(most) {
            let mut command = redis::cmd("MGET");
            for key in part {
                command.arg(format!("{}{key}", self.prefix));
            }
            let found: Vec<Option<Vec<u8>>> = command.query_async(&mut connection).await?;
            out.extend(found.into_iter().map(|bytes| bytes.map(Bytes::from)));
        }
        out.resize(keys.len(), None);
        Ok(out)
    }

    pub(super) async fn put(&self, items: &[(String, Bytes)], ttl: Duration) -> Result<(), RemoteError> {
        let mut connection = self.connect().await?;
        let mut commands = redis::pipe();
        for (key, bytes) in items {
            let key = format!("{}{key}", self.prefix);
            commands.cmd("SET").arg(key).arg(&bytes[..]).arg("EX").arg(ttl.as_secs().max(1)).ignore();
        }
        Ok(commands.query_async::<()>(&mut connection).await?)
    }
}
