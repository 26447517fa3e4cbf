//! A store in Redis: one hash per session, one hash field per struct field.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use deadpool_redis::redis::io::tcp::{TcpSettings, socket2};
use deadpool_redis::redis::{
    self, Client, ConnectionInfo, FromRedisValue as _, IntoConnectionInfo,
};
use tokio::time::Instant;

use self::cluster::Cluster;
use self::dial::To;
use self::script::Script;
use self::sentinel::Sentinels;
use self::server::Server;
use self::servers::{Servers, Settings};
use self::shared::Shared;
use super::{Key, Wanted};
use crate::error::Error;

pub(crate) mod cluster;
mod dial;
pub(crate) mod error;
mod flight;
pub(crate) mod near;
mod script;
mod sentinel;
mod server;
mod servers;
mod shared;
mod time;
mod users;
mod verbs;
mod wire;
mod writers;

/// No struct field's name begins with it.
const METADATA: &str = "@";

/// A store in Redis: one hash per session, `{prefix}{name}:{id}`, and one per user,
/// `{prefix}{name}@{digest}`. Each struct field is one hash field, as JSON; the field `@` holds at most 64
/// bytes of metadata.
///
/// A load is one HMGET (one HGETALL for a type with a map of entries), and a commit is one Lua script. All
/// requests pipeline on one connection to a server, which the store replaces if it fails.
///
/// Sessions expire by the server's clock. Within a second, the store leaves a server that became a replica.
///
/// ```rust
/// use session_core::store::redis::RedisStore;
/// # fn main() -> Result<(), session_core::error::Error> {
/// let one = RedisStore::new("redis://127.0.0.1:6379")?;
/// let cluster = RedisStore::cluster(["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"])?;
/// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379", "redis://10.0.0.3:26379"];
/// let master = RedisStore::sentinel("mymaster", sentinels, "redis://user:password@-/")?;
/// # Ok(())
/// # }
/// ```
///
/// # Permissions of the Redis user
///
/// `+hget +hmget +hgetall +hkeys +hset +hdel +exists +pttl +pexpire +del +time +eval +evalsha +role +info
/// +ping +select +wait +asking +client|tracking +cluster|slots +cluster|info` on `~{prefix}*`
///
/// [`check`](Self::check) needs `info`, [`ping`](Self::ping) needs `ping`, a database other than 0 needs
/// `select`, [`wait_replicas`](Self::wait_replicas) needs `wait`, [`near_cache`](Self::near_cache) needs
/// `client|tracking`, and a cluster needs `asking`, `cluster|slots` and `cluster|info`. At sentinels, the
/// user needs `sentinel|get-master-addr-by-name`.
pub struct RedisStore {
    prefix: String,
    timeout: Duration,
    place: Place,
    settings: Settings,
    servers: Servers,
    /// What `check` learned.
    server: OnceLock<String>,
    create: Script,
    delete: Script,
    update: Script,
    users: Script,
}

#[derive(Clone)]
enum Place {
    One(Box<ConnectionInfo>),
    Sentinel(Arc<Sentinels>),
    Cluster(Vec<ConnectionInfo>),
}

impl RedisStore {
    /// The default prefix.
    pub const DEFAULT_PREFIX: &'static str = "session:";

    /// The default deadline of an operation.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

    /// The default [`connect_timeout`](Self::connect_timeout). It is longer than a request waits.
    pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

    /// The default of [`max_connections`](Self::max_connections).
    pub const DEFAULT_MAX_CONNECTIONS: usize = 16;

    /// A store on one server: `redis://`, `rediss://` (TLS) or `redis+unix://`. It connects on first use.
    ///
    /// # Errors
    ///
    /// If this is not a server's address, or it needs TLS and the feature `tls` is off.
    pub fn new(server: impl IntoConnectionInfo) -> Result<Self, Error> {
        Ok(Self::at(Place::One(Box::new(connection_info(server)?))))
    }

    /// A store on the master that most sentinels know as `master`. `server` says how to connect to it: TLS or
    /// not, user, password, database. Its host and port are ignored.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), or if `sentinels` is empty.
    pub fn sentinel(
        master: impl Into<String>,
        sentinels: impl IntoIterator<Item = impl IntoConnectionInfo>,
        server: impl IntoConnectionInfo,
    ) -> Result<Self, Error> {
        let sentinels = all_checked(sentinels)?;
        let sentinels = Sentinels::new(master.into(), sentinels, connection_info(server)?);
        Ok(Self::at(Place::Sentinel(Arc::new(sentinels))))
    }

    /// A store on a cluster with these nodes; it discovers the others. The first node's user, password and
    /// TLS setting apply to all. The median of all nodes' clocks decides whether a session has expired.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new), or if `nodes` is empty.
    pub fn cluster(
        nodes: impl IntoIterator<Item = impl IntoConnectionInfo>,
    ) -> Result<Self, Error> {
        Ok(Self::at(Place::Cluster(all_checked(nodes)?)))
    }

    fn at(place: Place) -> Self {
        let settings = Settings {
            connect_timeout: Self::DEFAULT_CONNECT_TIMEOUT,
            near: None,
            wait_replicas: 0,
            max_connections: Self::DEFAULT_MAX_CONNECTIONS,
        };
        let timeout = Self::DEFAULT_TIMEOUT;
        Self {
            prefix: Self::DEFAULT_PREFIX.into(),
            timeout,
            servers: servers(&place, settings, timeout),
            place,
            settings,
            server: OnceLock::new(),
            create: Script::new(include_str!("redis/create.lua")),
            delete: Script::new(include_str!("redis/delete.lua")),
            update: Script::new(include_str!("redis/update.lua")),
            users: Script::new(include_str!("redis/users.lua")),
        }
    }

    /// Adds a near cache: a GET or HEAD request may see a session as it was up to `within` ago, without
    /// asking the server. Changes by this process show at once. The server announces the others, usually
    /// within a millisecond; if the link freezes or breaks, copies count for `within`, no longer.
    ///
    /// Connections then speak RESP3 and track keys. For each server, the cache keeps at most about 16,000
    /// copies, of records whose fields take at most 4 KiB.
    #[must_use]
    pub fn near_cache(self, within: Duration) -> Self {
        self.with(|settings| settings.near = Some(within))
    }

    /// Sets the prefix of all keys. Default: `session:`.
    ///
    /// Applications and environments that share a server need different prefixes.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        Self { prefix, ..self }
    }

    /// Sets the deadline for each operation, including the wait for a connection. Default: 2 seconds.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }.with(|_| {})
    }

    /// Sets how long connecting may take. Default: 5 seconds.
    #[must_use]
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.with(|settings| settings.connect_timeout = timeout)
    }

    /// Counts a change as stored only once this many replicas have it. If they miss the deadline, the call
    /// fails with [`Error::unknown`]: the change is stored, but a failover may undo it. Default: 0, no
    /// waiting.
    ///
    /// Each change then costs two more round trips and its own connection meanwhile. Redis does not guarantee
    /// that a failover picks a replica with the change.
    #[must_use]
    pub fn wait_replicas(self, replicas: usize) -> Self {
        self.with(|settings| settings.wait_replicas = replicas)
    }

    /// Sets how many changes [wait for replicas](Self::wait_replicas) at once, on each server. Default: 16.
    #[must_use]
    pub fn max_connections(self, connections: usize) -> Self {
        self.with(|settings| settings.max_connections = connections)
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(&mut self.settings);
        let servers = servers(&self.place, self.settings, self.timeout);
        Self { servers, ..self }
    }

    /// Checks that the servers answer: all masters of a cluster. Afterwards, the store knows their time.
    ///
    /// # Errors
    ///
    /// Why a server does not answer.
    pub async fn ping(&self) -> Result<(), Error> {
        let deadline = self.deadline();
        let answers = self.servers.ask_all(&redis::cmd("PING"), deadline).await?;
        answers
            .into_iter()
            .try_for_each(|(_, answer)| answer.map(drop))
    }

    /// Returns the servers' faults that will lose or refuse sessions, each with its fix. The store's
    /// description then says what the servers are.
    ///
    /// # Errors
    ///
    /// Why a server does not answer. It needs the permission `+info`.
    pub async fn check(&self) -> Result<Vec<String>, Error> {
        let info = redis::cmd("INFO");
        let answers = self.servers.ask_all(&info, self.deadline()).await?;
        let mut servers = Vec::new();
        for (address, info) in answers {
            let info = String::from_redis_value(info?).map_err(|_| error::unexpected())?;
            servers.push((address, Server::read(&info)));
        }
        let is_cluster = matches!(self.place, Place::Cluster(_));
        let (what, faults) = server::described(&servers, is_cluster);
        self.server.get_or_init(|| what);
        Ok(faults)
    }

    /// The current masters, and how to connect to each, password included; in a cluster, all nodes that have
    /// slots. They may not answer.
    ///
    /// # Errors
    ///
    /// If no sentinel, or no node of the cluster, says where they are.
    pub async fn masters(&self) -> Result<Vec<ConnectionInfo>, Error> {
        self.servers.masters(self.deadline()).await
    }

    /// The prefix of all keys.
    #[must_use]
    pub fn key_prefix(&self) -> &str {
        &self.prefix
    }

    /// Where the servers are, without user and password.
    #[must_use]
    pub fn address(&self) -> String {
        self.servers.address()
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.timeout
    }
}

fn servers(place: &Place, settings: Settings, timeout: Duration) -> Servers {
    let to = match place.clone() {
        Place::One(info) => To::Server(*info),
        Place::Sentinel(sentinels) => To::Master(sentinels),
        Place::Cluster(seeds) => {
            return Servers::Cluster(Cluster::new(seeds, settings, timeout));
        }
    };
    Servers::One(Arc::new(Shared::new(to, &settings)))
}

/// How to connect to a server so that a dead link is noticed and small messages go out at once. redis-rs does
/// neither by default; [`RedisStore::new`] does both.
///
/// # Errors
///
/// As for [`RedisStore::new`].
pub fn connection_info(server: impl IntoConnectionInfo) -> Result<ConnectionInfo, Error> {
    let client = server.into_connection_info().and_then(Client::open);
    let client = client.map_err(|error| {
        // Not the address: it may contain a password.
        let category = error.category();
        Error::store(format!("Redis cannot be used at this address: {category}"))
    })?;
    let info = client.get_connection_info().clone();
    #[cfg(feature = "tls")]
    if let redis::ConnectionAddr::TcpTls { .. } = info.addr() {
        // rustls needs a process-wide provider. This keeps one that the application chose.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5));
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(Duration::from_secs(10));
    Ok(info.set_tcp_settings(tcp))
}

fn all_checked(
    servers: impl IntoIterator<Item = impl IntoConnectionInfo>,
) -> Result<Vec<ConnectionInfo>, Error> {
    let servers: Vec<_> = servers
        .into_iter()
        .map(connection_info)
        .collect::<Result<_, _>>()?;
    match servers.is_empty() {
        true => Err(Error::store("no Redis server given")),
        false => Ok(servers),
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("address", &self.servers.address())
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
