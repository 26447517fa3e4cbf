//! How to connect, and what to ask first on a new connection.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{
    self, AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind,
    FromRedisValue as _, ProtocolVersion, PushInfo, RedisError, RedisResult, ServerErrorKind,
    Value,
};
use tokio::time::{Instant, sleep, timeout_at};

use super::error::{of_redis, timed_out};
use super::near::NearCache;
use super::sentinel::Sentinels;
use super::time::ServerTime;
use crate::error::Error;

/// How long a master may take to answer. A dead one never does, and the sentinels soon name another.
const TRY_TIMEOUT: Duration = Duration::from_secs(1);

/// If connecting takes longer than this, the sentinels may name another server by now.
const PROMPT: Duration = Duration::from_millis(20);

const TRY_AGAIN_AFTER: Duration = Duration::from_millis(50);

#[derive(Clone)]
pub(super) struct Dial {
    pub(super) to: To,
    pub(super) timeout: Duration,
    pub(super) near: Option<Arc<NearCache>>,
    pub(super) time: Arc<ServerTime>,
    /// For callers that stopped waiting before the last try failed.
    pub(super) trouble: Arc<Mutex<Option<Error>>>,
    /// Whether a new connection's time replaces the known one: the server may be another.
    pub(super) tells_time: bool,
}

#[derive(Clone)]
pub(super) enum To {
    /// Must be a master.
    Server(ConnectionInfo),
    Master(Arc<Sentinels>),
    /// It refuses keys that it does not own.
    Node(ConnectionInfo),
}

pub(super) type Address = (String, u16);

pub(super) fn at(info: &ConnectionInfo, (host, port): &Address) -> ConnectionInfo {
    let (host, port) = (host.clone(), *port);
    let address = match info.addr().clone() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure,
            tls_params,
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    info.clone().set_addr(address)
}

pub(super) struct Dialled {
    pub(super) connection: MultiplexedConnection,
    pub(super) address: String,
}

impl Dial {
    /// Also learns the server's time: after a failover it is another clock.
    pub(super) async fn connect(&self) -> Result<Dialled, Error> {
        let dialled = self.try_to_connect().await;
        self.note(dialled.as_ref().err());
        dialled
    }

    pub(super) fn timed_out(&self) -> Error {
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone().unwrap_or_else(|| timed_out(false))
    }

    fn note(&self, trouble: Option<&Error>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble.cloned();
    }

    async fn try_to_connect(&self) -> Result<Dialled, Error> {
        let deadline = Instant::now() + self.timeout;
        let sentinels = match &self.to {
            To::Server(info) | To::Node(info) => {
                let connecting = timeout_at(deadline, self.connect_to(info.clone()));
                return connecting.await.map_err(|_| timed_out(false))?;
            }
            To::Master(sentinels) => sentinels,
        };
        loop {
            let trying = async {
                let master = sentinels.master().await?;
                let named = Instant::now();
                Ok((self.connect_to(master).await?, named.elapsed()))
            };
            let until = deadline.min(Instant::now() + TRY_TIMEOUT);
            let dialled = timeout_at(until, trying).await;
            let dialled = match dialled.unwrap_or_else(|_| Err(timed_out(false))) {
                Ok((dialled, took)) if took > PROMPT => {
                    let checking = timeout_at(deadline, still_master(sentinels, dialled));
                    checking.await.unwrap_or_else(|_| Err(timed_out(false)))
                }
                dialled => dialled.map(|(dialled, _)| dialled),
            };
            if dialled.is_ok() || Instant::now() + TRY_AGAIN_AFTER >= deadline {
                return dialled;
            }
            self.note(dialled.as_ref().err());
            sleep(TRY_AGAIN_AFTER).await;
        }
    }

    pub(super) async fn server(&self) -> Result<ConnectionInfo, Error> {
        match &self.to {
            To::Server(info) | To::Node(info) => Ok(info.clone()),
            To::Master(sentinels) => sentinels.master().await,
        }
    }

    async fn connect_to(&self, info: ConnectionInfo) -> Result<Dialled, Error> {
        let address = info.addr().to_string();
        let connection = self.prepared(info).await;
        let connection = connection.map_err(|error| of_redis(false, error))?;
        Ok(Dialled {
            connection,
            address,
        })
    }

    async fn prepared(&self, mut info: ConnectionInfo) -> RedisResult<MultiplexedConnection> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            // The caller sets the deadline.
            .set_response_timeout(None);
        if let Some(near) = &self.near {
            let settings = info.redis_settings().clone();
            info = info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3));
            let hears = Arc::clone(near);
            config = config.set_push_sender(move |push: PushInfo| {
                hears.heard(&push);
                Ok::<_, Infallible>(())
            });
        }
        let client = Client::open(info)?;
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connecting.await?;
        if let Some(near) = &self.near {
            near.begin(&mut connection).await?;
        }
        let sent_at = std::time::Instant::now();
        let (role, now) = tokio::join!(
            check_role(connection.clone(), self.must_be_master()),
            ask(connection.clone(), "TIME")
        );
        role?;
        if self.tells_time {
            self.time.forget();
        }
        self.time.heard_reply(Some(now?), sent_at);
        Ok(connection)
    }

    /// In a cluster, replicas refuse by themselves.
    pub(super) fn must_be_master(&self) -> bool {
        match self.to {
            To::Server(_) | To::Master(_) => true,
            To::Node(_) => false,
        }
    }

    /// Without user and password.
    pub(super) fn address(&self) -> String {
        match &self.to {
            To::Server(info) => format!("{}/{}", info.addr(), info.redis_settings().db()),
            To::Node(info) => info.addr().to_string(),
            To::Master(sentinels) => sentinels.to_string(),
        }
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dial")
            .field("to", &self.address())
            .finish_non_exhaustive()
    }
}

/// Fails if the sentinels have replaced the server. One that was frozen still believes that it is the master,
/// and confirms changes that are then lost.
async fn still_master(sentinels: &Sentinels, dialled: Dialled) -> Result<Dialled, Error> {
    match sentinels.master().await?.addr().to_string() == dialled.address {
        true => Ok(dialled),
        false => Err(of_redis(
            false,
            read_only("the sentinels have replaced the server"),
        )),
    }
}

fn read_only(why: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Server(ServerErrorKind::ReadOnly), why))
}

async fn ask(mut connection: MultiplexedConnection, command: &str) -> RedisResult<Value> {
    redis::cmd(command).query_async(&mut connection).await
}

/// A replica does answer reads: with old data, or with nothing while it is syncing.
pub(super) async fn check_role(
    connection: MultiplexedConnection,
    must_be_master: bool,
) -> Result<(), RedisError> {
    if !must_be_master {
        return Ok(());
    }
    let words = match ask(connection, "ROLE").await {
        Ok(Value::Array(words)) => words,
        // A proxy may not know the command.
        Err(error) if error.code() == Some("ERR") => return Ok(()),
        Err(error) => return Err(error),
        Ok(_) => Vec::new(),
    };
    let role = words.into_iter().next().map(String::from_redis_value);
    match role {
        Some(Ok(role)) if role != "master" => Err(read_only("the server is not a master")),
        _ => Ok(()),
    }
}
