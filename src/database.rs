use std::fmt;
use std::time::Duration;

use deadpool_redis::redis::AsyncConnectionConfig;
use deadpool_redis::{Manager, PoolError, Runtime};
use rocket::figment::Figment;
use rocket_db_pools::{Error, Pool};

use self::config::{RedisConfig, Servers};

pub(crate) mod config;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For each of Rocket's workers.
const CONNECTIONS_PER_WORKER: usize = 4;

/// A pool of connections to a Redis server, for your own queries.
///
/// It uses the current deadpool-redis; the pool of `rocket_db_pools` is years older. Its keys in
/// `[default.databases.<name>]` are `url`, and optionally `username`, `password`, `tls`, `max_connections`
/// (default: four for each of Rocket's workers) and `connect_timeout` (default: 5 seconds). It connects to
/// one server, so it accepts neither `urls` nor `sentinel`. Sessions in the same database share one
/// connection beside it.
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
    config: RedisConfig,
    address: String,
}

impl RedisPool {
    /// The deadpool-redis pool itself.
    #[must_use]
    pub fn pool(&self) -> &deadpool_redis::Pool {
        &self.pool
    }

    pub(crate) fn config(&self) -> &RedisConfig {
        &self.config
    }

    /// The server's host, port and database, without user and password.
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
        let config = RedisConfig::read(figment);
        let config = config.map_err(|fault| Error::Config(fault.into()))?;
        let Servers::One(info) = &config.servers else {
            let fault = "a pool connects to one server: write its `url`; `urls` and `sentinel` are for \
                         `databases.sessions`, which only sessions use";
            return Err(Error::Config(fault.to_owned().into()));
        };
        let connect_timeout = config.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let max_connections = config.max_connections.unwrap_or_else(|| {
            let workers = rocket::Config::default().workers;
            workers * CONNECTIONS_PER_WORKER
        });
        let address = format!("{}/{}", info.addr(), info.redis_settings().db());
        // The caller of a command sets its deadline.
        let connecting = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_timeout))
            .set_response_timeout(None);
        let manager = Manager::new_with_config(info.clone(), connecting).map_err(Error::Init)?;
        let pool = deadpool_redis::Pool::builder(manager)
            .max_size(max_connections)
            .wait_timeout(Some(connect_timeout))
            .create_timeout(Some(connect_timeout))
            .recycle_timeout(Some(connect_timeout))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|_| Error::Get(PoolError::NoRuntimeSpecified))?;
        Ok(Self {
            pool,
            config,
            address,
        })
    }

    async fn get(&self) -> Result<Self::Connection, Self::Error> {
        self.pool.get().await.map_err(Error::Get)
    }

    /// Closes nothing: Rocket calls this when a shutdown begins, while requests are still running.
    async fn close(&self) {}
}
