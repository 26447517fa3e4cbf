use std::time::Duration;

use deadpool_redis::redis::{ConnectionAddr, ConnectionInfo};
use rocket::figment::Figment;
use session_core::error::Error as EngineError;
use session_core::schema::SessionData;
use session_core::store::redis::{RedisStore, connection_info};

use crate::config::{DATABASE, Settings};
use crate::error::Error;

mod keys;

use self::keys::Keys;

/// The store that `T::fairing()` makes from `[default.databases.sessions]`: for programs beside the
/// application, and for your own store around this one. It has the prefix and the deadline of the sessions of
/// type `T`, and connects on first use.
///
/// ```rust
/// use rocket_typed_session::{session, store};
///
/// #[session]
/// struct Visit {
///     views: u64,
/// }
///
/// let figment = rocket::Config::figment().merge(("databases.sessions.url", "redis://127.0.0.1"));
/// let store = store::configured_redis::<Visit>(&figment)?;
/// assert_eq!(store.address(), "127.0.0.1:6379/0");
/// # Ok::<_, rocket_typed_session::Error>(())
/// ```
///
/// # Errors
///
/// If the database is not configured, or a key of it or of the session type is wrong. The error names the key
/// and the fix, and repeats no password.
pub fn configured_redis<T: SessionData>(figment: &Figment) -> Result<RedisStore, Error> {
    let store = || {
        if !figment.contains(DATABASE) {
            return Err(format!(
                "no database is configured for sessions; write `[default.{DATABASE}] url = \"redis://…\"`"
            ));
        }
        let settings = Settings::read(figment, T::SCHEMA.name(), T::SCHEMA.options())?;
        settings.redis_store(&RedisConfig::of_sessions(figment)?)
    };
    store().map_err(|fault| EngineError::usage(fault).into())
}

#[derive(Clone)]
pub(crate) struct RedisConfig {
    pub(crate) servers: Servers,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) max_connections: Option<usize>,
    wait_replicas: usize,
}

#[derive(Clone)]
pub(crate) enum Servers {
    One(ConnectionInfo),
    Cluster(Vec<ConnectionInfo>),
    Sentinel {
        master: String,
        sentinels: Vec<ConnectionInfo>,
        server: ConnectionInfo,
    },
}

/// The last three belong to rocket_db_pools, and have no effect.
const KEYS: &[&str] = &[
    "url",
    "urls",
    "sentinel",
    "username",
    "password",
    "tls",
    "max_connections",
    "connect_timeout",
    "wait_replicas",
    "min_connections",
    "idle_timeout",
    "extensions",
];

const OF_SENTINEL: &[&str] = &["master", "urls", "username", "password"];

const OF_TLS: &[&str] = &["ca", "cert", "key"];

impl RedisConfig {
    pub(crate) fn of_sessions(figment: &Figment) -> Result<Self, String> {
        let config = Self::read(&figment.focus(DATABASE));
        config.map_err(|fault| format!("`{DATABASE}`: {fault}"))
    }

    /// Reads a focused figment. An error repeats no password.
    pub(crate) fn read(figment: &Figment) -> Result<Self, String> {
        let keys = Keys(figment);
        keys.check("", KEYS)?;
        keys.check("sentinel", OF_SENTINEL)?;
        keys.check("tls", OF_TLS)?;
        let (username, password) = (keys.text("username")?, keys.text("password")?);
        let certificates = Certificates::read(&keys)?;
        let own = |url: &str| {
            let info = info(url, username.as_deref(), password.as_deref())?;
            certificates.given_to(info)
        };
        let servers = match (
            keys.text("url")?,
            keys.texts("urls")?,
            keys.contains("sentinel"),
        ) {
            (Some(url), None, false) => {
                Servers::One(own(&url).map_err(|fault| format!("`url`: {fault}"))?)
            }
            (None, Some(urls), false) => {
                let nodes = urls
                    .iter()
                    .map(|url| own(url))
                    .collect::<Result<Vec<_>, _>>();
                let nodes = nodes.map_err(|fault| format!("`urls`: {fault}"))?;
                if let Some(node) = nodes.iter().find(|node| node.redis_settings().db() != 0) {
                    return Err(format!(
                        "`urls`: a cluster has database 0 only; write \"redis://{}\"",
                        node.addr()
                    ));
                }
                let first = &nodes[0];
                let is_alike = |node: &ConnectionInfo| {
                    let (its, firsts) = (node.redis_settings(), first.redis_settings());
                    let has_tls = |info: &ConnectionInfo| {
                        matches!(info.addr(), ConnectionAddr::TcpTls { .. })
                    };
                    has_tls(node) == has_tls(first)
                        && its.username() == firsts.username()
                        && its.password() == firsts.password()
                };
                if !nodes.iter().all(is_alike) {
                    return Err(
                        "`urls`: all nodes of a cluster need the same connection settings; write the \
                         same scheme, user and password for each"
                            .into(),
                    );
                }
                Servers::Cluster(nodes)
            }
            (url, None, true) => {
                // The sentinels know the master's address.
                let url = url.as_deref().unwrap_or(match certificates.are_given() {
                    true => "rediss://sentinel",
                    false => "redis://sentinel",
                });
                Servers::Sentinel {
                    master: keys.text("sentinel.master")?.ok_or(
                        "`sentinel.master` is missing: the name by which the sentinels know the master",
                    )?,
                    sentinels: sentinels(&keys, &certificates)?,
                    server: own(url).map_err(|fault| format!("`url`: {fault}"))?,
                }
            }
            (None, None, false) => {
                return Err(
                    "it needs a `url` like \"redis://127.0.0.1:6379\", or `urls`, a list of \
                            a cluster's nodes, or `sentinel = { master = \"…\", urls = […] }`"
                        .into(),
                );
            }
            (_, Some(_), _) => {
                return Err(
                    "`urls` names the nodes of a cluster, so it excludes `url` and `sentinel`; \
                     remove one of them"
                        .into(),
                );
            }
        };
        let max_connections = keys.number("max_connections")?;
        if max_connections == Some(0) {
            return Err("`max_connections` must be at least 1".into());
        }
        Ok(Self {
            servers,
            connect_timeout: keys.seconds("connect_timeout")?,
            max_connections,
            wait_replicas: keys.number("wait_replicas")?.unwrap_or(0),
        })
    }

    pub(crate) fn store(&self) -> Result<RedisStore, String> {
        let store = match self.servers.clone() {
            Servers::One(info) => RedisStore::new(info),
            Servers::Cluster(nodes) => RedisStore::cluster(nodes),
            Servers::Sentinel {
                master,
                sentinels,
                server,
            } => RedisStore::sentinel(master, sentinels, server),
        };
        let mut store = store.map_err(|error| error.to_string())?;
        store = store.wait_replicas(self.wait_replicas);
        if let Some(timeout) = self.connect_timeout {
            store = store.connect_timeout(timeout);
        }
        if let Some(connections) = self.max_connections {
            store = store.max_connections(connections);
        }
        Ok(store)
    }

    /// The server to which a password travels in plain text over a network.
    pub(crate) fn exposed_at(&self) -> Option<String> {
        let all: Vec<&ConnectionInfo> = match &self.servers {
            Servers::One(info) => vec![info],
            Servers::Cluster(nodes) => nodes.iter().collect(),
            Servers::Sentinel {
                sentinels, server, ..
            } => {
                // Its address is not known yet: assume that it is near the sentinels.
                let are_far = sentinels.iter().any(is_far);
                let server = are_far.then_some(server);
                sentinels.iter().chain(server).collect()
            }
        };
        let exposed = all
            .into_iter()
            .find(|info| is_far(info) && info.redis_settings().password().is_some());
        exposed.map(|info| info.addr().to_string())
    }
}

/// On another machine, in plain text.
fn is_far(info: &ConnectionInfo) -> bool {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) => !is_loopback(host),
        _ => false,
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn info(
    url: &str,
    username: Option<&str>,
    password: Option<&str>,
) -> Result<ConnectionInfo, String> {
    if url.starts_with("rediss:") && !cfg!(feature = "tls") {
        return Err(
            "rocket_typed_session was built without its feature `tls`; enable it for `rediss://`"
                .into(),
        );
    }
    if url.contains("#insecure") {
        return Err(
            "with `#insecure` anybody on the way could read and change sessions; remove it, and write \
             `tls = { ca = \"…\" }` if the server's certificate is your own"
                .into(),
        );
    }
    let info = connection_info(url).map_err(|_| {
        "is not the address of a Redis server; write one like \"redis://127.0.0.1:6379\", \
         \"rediss://redis.example.org:6379\" or \"redis+unix:///run/redis.sock\""
            .to_owned()
    })?;
    let mut settings = info.redis_settings().clone();
    if let Some(username) = username {
        settings = settings.set_username(username);
    }
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    Ok(info.set_redis_settings(settings))
}

fn sentinels(keys: &Keys<'_>, certificates: &Certificates) -> Result<Vec<ConnectionInfo>, String> {
    let urls = keys.texts("sentinel.urls")?;
    let urls =
        urls.ok_or("`sentinel.urls` is missing: a list like [\"redis://127.0.0.1:26379\"]")?;
    let username = keys.text("sentinel.username")?;
    let password = keys.text("sentinel.password")?;
    let sentinels = urls.iter().map(|url| {
        let info = info(url, username.as_deref(), password.as_deref())?;
        match info.addr() {
            ConnectionAddr::TcpTls { .. } => certificates.given_to(info),
            _ => Ok(info),
        }
    });
    let sentinels = sentinels.collect::<Result<_, String>>();
    sentinels.map_err(|fault| format!("`sentinel.urls`: {fault}"))
}

#[cfg(feature = "tls")]
const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

#[derive(Default)]
struct Certificates {
    ca: Option<Vec<u8>>,
    own: Option<(Vec<u8>, Vec<u8>)>,
}

impl Certificates {
    fn read(keys: &Keys<'_>) -> Result<Self, String> {
        let (ca, cert, key) = (
            keys.file("tls.ca")?,
            keys.file("tls.cert")?,
            keys.file("tls.key")?,
        );
        let own = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                return Err(
                    "`tls.cert` and `tls.key` belong together: write both, or neither".into(),
                );
            }
        };
        Ok(Self { ca, own })
    }

    fn are_given(&self) -> bool {
        self.ca.is_some() || self.own.is_some()
    }

    #[cfg(feature = "tls")]
    fn given_to(&self, info: ConnectionInfo) -> Result<ConnectionInfo, String> {
        use deadpool_redis::redis::{Client, ClientTlsConfig, TlsCertificates};

        if !self.are_given() {
            return Ok(info);
        }
        if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            return Err("`tls` works only with `rediss://`; write that".into());
        }
        let own = self.own.clone();
        let certificates = TlsCertificates {
            client_tls: own.map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            }),
            root_cert: self.ca.clone(),
        };
        let fault = "`tls`: one of the files is not a PEM file with a certificate or a key";
        // Without this check, no server could be trusted, and there would be no error.
        let is_pem = |pem: &Vec<u8>| pem.windows(PEM.len()).any(|part| part == PEM);
        if !self.ca.iter().all(is_pem) {
            return Err(fault.into());
        }
        let client = Client::build_with_tls(info, certificates).map_err(|_| fault.to_owned())?;
        Ok(client.get_connection_info().clone())
    }

    #[cfg(not(feature = "tls"))]
    fn given_to(&self, info: ConnectionInfo) -> Result<ConnectionInfo, String> {
        match self.are_given() {
            true => Err(
                "rocket_typed_session was built without its feature `tls`; enable it for `tls`"
                    .into(),
            ),
            false => Ok(info),
        }
    }
}

#[cfg(test)]
mod tests;
