use std::error::Error;
use std::time::Duration;

use rocket_typed_session::deadpool_redis::redis;
use rocket_typed_session::store::RedisStore;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, FromRedisValue, RedisResult};

/// For a connection, and for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Server {
    pub(crate) address: String,
    connection: MultiplexedConnection,
}

impl Server {
    pub(crate) async fn connect(info: ConnectionInfo) -> RedisResult<Self> {
        let address = info.addr().to_string();
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let client = Client::open(info)?;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        Ok(Self {
            address,
            connection: connecting.await?,
        })
    }

    pub(crate) async fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> RedisResult<T> {
        let mut command = redis::Cmd::new();
        command.arg(words);
        command.query_async(&mut self.connection).await
    }
}

pub(crate) async fn masters(store: &RedisStore) -> Result<Vec<Server>, Box<dyn Error>> {
    let mut servers = Vec::new();
    for info in store.masters().await? {
        let address = info.addr().to_string();
        let server = Server::connect(info).await;
        servers.push(server.map_err(|error| format!("{address}: {error}"))?);
    }
    Ok(servers)
}
