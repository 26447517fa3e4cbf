//! A pool of Redis connections for `#[derive(Database)]`, over the current deadpool-redis.

use std::fmt;
use std::time::Duration;

use deadpool_redis::redis::io::tcp::{TcpSettings, socket2};
use deadpool_redis::redis::{AsyncConnectionConfig, ConnectionInfo, IntoConnectionInfo as _};
use deadpool_redis::{Manager, PoolError, Runtime};
use rocket::figment::Figment;
use rocket::figment::providers::Serialized;
use rocket_db_pools::{Config, Error, Pool};

/// A pool of connections to a Redis server, for your queries and for your sessions.
///
/// `rocket_db_pools` brings a pool over a deadpool-redis of years ago; this one is over the current
/// one. It reads the keys of [`rocket_db_pools::Config`] in `[default.databases.<name>]`: `url`,
/// and optionally `max_connections` (default: four for each of Rocket's workers) and
/// `connect_timeout` (default: 5 seconds).
///
/// Sessions keep one connection of the pool for as long as it works, and all requests share it. So
/// no request pays for the check that comes with a checkout.
///
/// ```rust
/// use rocket_db_pools::Database;
/// use rocket_typed_session::{RedisPool, session};
///
/// #[derive(Database)]
/// #[database("main")]
/// struct Db(RedisPool);
///
/// #[session]
/// struct Visit {
///     views: u64,
/// }
///
/// let rocket = rocket::build()
///     .attach(Db::init())
///     .attach(Visit::fairing().database::<Db>());
/// ```
#[derive(Clone)]
pub struct RedisPool {
    pool: deadpool_redis::Pool,
    info: ConnectionInfo,
    address: String,
}

impl RedisPool {
    /// The deadpool-redis pool itself.
    #[must_use]
    pub fn pool(&self) -> &deadpool_redis::Pool {
        &self.pool
    }

    /// How to connect to the server.
    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Where the server is: host, port and database, no user and no password.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// Without the password.
impl fmt::Debug for RedisPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPool")
            .field("pool", &self.pool)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

#[rocket::async_trait]
impl Pool for RedisPool {
    type Connection = deadpool_redis::Connection;
    type Error = Error<deadpool_redis::redis::RedisError, PoolError>;

    async fn init(figment: &Figment) -> Result<Self, Self::Error> {
        let config: Config = figment.extract()?;
        let connect_timeout = Duration::from_secs(config.connect_timeout);
        let info = connection_info(&config.url).map_err(Error::Init)?;
        let address = format!("{}/{}", info.addr(), info.redis_settings().db());
        // The caller of a command knows what it waits for, and sets the deadline.
        let connecting = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_timeout))
            .set_response_timeout(None);
        let manager = Manager::new_with_config(info.clone(), connecting).map_err(Error::Init)?;
        let pool = deadpool_redis::Pool::builder(manager)
            .max_size(config.max_connections)
            .wait_timeout(Some(connect_timeout))
            .create_timeout(Some(connect_timeout))
            .recycle_timeout(Some(connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|_| Error::Get(PoolError::NoRuntimeSpecified))?;
        Ok(Self {
            pool,
            info,
            address,
        })
    }

    async fn get(&self) -> Result<Self::Connection, Self::Error> {
        self.pool.get().await.map_err(Error::Get)
    }

    /// Closes nothing: Rocket calls this when a shutdown begins, while requests are still running.
    /// The connections end with the pool.
    async fn close(&self) {}
}

/// The pool of the database at `figment`, with the defaults that Rocket's own fairing gives it.
pub(crate) async fn init(
    figment: &Figment,
    application: &Figment,
) -> Result<RedisPool, <RedisPool as Pool>::Error> {
    let workers: usize = application
        .extract_inner(rocket::Config::WORKERS)
        .unwrap_or_else(|_| rocket::Config::default().workers);
    let figment = figment
        .clone()
        .join(Serialized::default("max_connections", workers * 4))
        .join(Serialized::default("connect_timeout", 5));
    RedisPool::init(&figment).await
}

/// Notices a dead link, and sends small messages at once: neither is the default.
fn connection_info(url: &str) -> Result<ConnectionInfo, deadpool_redis::redis::RedisError> {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5));
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(Duration::from_secs(10));
    Ok(url.into_connection_info()?.set_tcp_settings(tcp))
}
