//! One connection of the pool, shared by all requests, replaced when it fails.
//!
//! A checkout per request would cost a PING, and one request at a time on each connection.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{
    self, AsyncConnectionConfig, Cmd, ConnectionInfo, ProtocolVersion, PushInfo, RedisError,
    RedisResult, Value,
};
use deadpool_redis::{Connection, Manager, Pool};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{of_pool, of_redis, spoils_connection, timed_out};
use super::near::NearCache;
use super::script::ScriptCall;
use super::time::ServerTime;
use crate::error::Error;

/// How long connecting may take. Longer than a request waits, so that the next request finds a
/// connection that is nearly there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// After a call waited this long in vain, or half its deadline, its connection is replaced.
const PATIENCE: Duration = Duration::from_millis(500);

pub(super) struct Connections {
    pool: Pool,
    pub(super) time: Arc<ServerTime>,
    pub(super) near: Option<Arc<NearCache>>,
    current: Arc<Mutex<Current>>,
}

/// What is sent to the server.
#[derive(Clone, Copy)]
pub(super) enum Call<'c> {
    /// It changes something.
    Change(&'c ScriptCall),
    /// It changes nothing. TIME goes along in the same round trip if it is due.
    Read(&'c Cmd),
}

impl Call<'_> {
    /// Whether nobody knows what it did, if it is not answered. What changes nothing may be sent again.
    fn changes(self) -> bool {
        match self {
            Self::Change(_) => true,
            Self::Read(_) => false,
        }
    }

    async fn query(
        self,
        mut connection: MultiplexedConnection,
        time: &ServerTime,
    ) -> RedisResult<Value> {
        match self {
            Self::Change(script) => script.query(&mut connection).await,
            Self::Read(command) if time.is_due() => {
                let mut again = connection.clone();
                let asking = redis::cmd("TIME");
                let (now, reply) = tokio::join!(
                    asking.query_async(&mut again),
                    command.query_async(&mut connection)
                );
                time.heard_reply(now.ok());
                reply
            }
            Self::Read(command) => command.query_async(&mut connection).await,
        }
    }
}

#[derive(Default)]
struct Current {
    /// Counts the connections, so that nobody gives back a newer one than the one that failed.
    number: u64,
    connection: Option<Connection>,
    /// A hundred requests that meet a dead connection wait for one new one.
    connecting: Option<watch::Receiver<Outcome>>,
}

/// What became of connecting; `None` while it is under way.
type Outcome = Option<Result<(), Error>>;

/// The shared connection, for one call.
struct Shared {
    number: u64,
    connection: MultiplexedConnection,
}

impl Connections {
    pub(super) fn new(pool: Pool) -> Self {
        Self {
            pool,
            time: Arc::default(),
            near: None,
            current: Arc::default(),
        }
    }

    /// Connections that tell the near cache what changes.
    pub(super) fn near(info: ConnectionInfo, near: NearCache) -> Result<Self, Error> {
        let near = Arc::new(near);
        let settings = info.redis_settings().clone();
        let info = info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3));
        let hears = Arc::clone(&near);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                hears.heard(&push);
                Ok::<_, Infallible>(())
            });
        let manager = Manager::new_with_config(info, config);
        let pool = Pool::builder(manager.map_err(|error| of_redis(false, error))?)
            // One that is used, and one that takes its place.
            .max_size(2)
            .build()
            .map_err(|_| Error::store("the Redis pool is set up wrongly"))?;
        Ok(Self {
            near: Some(near),
            ..Self::new(pool)
        })
    }

    /// Makes a call within a deadline. If the connection is to blame, it is replaced. Then the call
    /// is made once more if it changes nothing, or if the server said that it did nothing.
    pub(super) async fn run(&self, call: Call<'_>, timeout: Duration) -> Result<Value, Error> {
        let changes = call.changes();
        let deadline = Instant::now() + timeout;
        let mut tries_left = 2;
        loop {
            tries_left -= 1;
            let shared = timeout_at(deadline, self.shared()).await;
            let shared = shared.map_err(|_| timed_out(false))??;
            let waiting = Waiting::new(self, shared.number, PATIENCE.min(timeout / 2));
            let reply = timeout_at(deadline, call.query(shared.connection, &self.time)).await;
            let Ok(reply) = reply else {
                return Err(timed_out(changes));
            };
            waiting.over();
            let error = match reply {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let is_spoilt = spoils_connection(&error);
            if is_spoilt {
                self.give_back(shared.number);
            }
            if !is_spoilt || tries_left == 0 || !may_be_sent_again(changes, &error) {
                return Err(of_redis(changes, error));
            }
        }
    }

    async fn shared(&self) -> Result<Shared, Error> {
        loop {
            let mut connecting = {
                let mut current = lock(&self.current);
                if let Some(shared) = current.shared() {
                    return Ok(shared);
                }
                current
                    .connecting
                    .get_or_insert_with(|| self.connect())
                    .clone()
            };
            let outcome = connecting.wait_for(Option::is_some).await;
            // The sender is gone without a word only if the runtime is shutting down.
            let outcome = outcome.map_err(|_| timed_out(false))?.clone();
            outcome.unwrap_or(Ok(()))?;
        }
    }

    /// Connects in a task of its own, which no request's deadline ends. It asks for the server's
    /// time too: after a failover it is another clock.
    fn connect(&self) -> watch::Receiver<Outcome> {
        let (sender, receiver) = watch::channel(None);
        let (pool, current, time, near) = (
            self.pool.clone(),
            Arc::clone(&self.current),
            Arc::clone(&self.time),
            self.near.clone(),
        );
        tokio::spawn(async move {
            let connecting = async {
                let mut connection = pool.get().await.map_err(of_pool)?;
                if let Some(near) = near {
                    let begun = near.begin(&mut connection).await;
                    begun.map_err(|error| of_redis(false, error))?;
                }
                let now = redis::cmd("TIME").query_async(&mut connection).await;
                time.heard_reply(Some(now.map_err(|error| of_redis(false, error))?));
                Ok(connection)
            };
            let connection = timeout(CONNECT_TIMEOUT, connecting).await;
            let connection = connection.unwrap_or_else(|_| Err(timed_out(false)));
            let outcome = {
                let mut current = lock(&current);
                current.connecting = None;
                connection.map(|connection| {
                    current.number += 1;
                    current.connection = Some(connection);
                })
            };
            sender.send_replace(Some(outcome));
        });
        receiver
    }

    /// Takes a spoilt connection out of the pool for good.
    fn give_back(&self, number: u64) {
        let mut current = lock(&self.current);
        if current.number == number
            && let Some(connection) = current.connection.take()
        {
            drop(Connection::take(connection));
        }
    }
}

fn may_be_sent_again(changes: bool, error: &RedisError) -> bool {
    let was_answered = error.code().is_some();
    was_answered || (!changes && !error.is_timeout())
}

/// A call that waits for its answer. If it gives up after a long wait, the connection does not
/// answer, and the next call gets another one.
struct Waiting<'c> {
    connections: &'c Connections,
    number: u64,
    patience: Duration,
    since: Instant,
    is_over: bool,
}

impl<'c> Waiting<'c> {
    fn new(connections: &'c Connections, number: u64, patience: Duration) -> Self {
        Self {
            connections,
            number,
            patience,
            since: Instant::now(),
            is_over: false,
        }
    }

    fn over(mut self) {
        self.is_over = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_over && self.since.elapsed() >= self.patience {
            self.connections.give_back(self.number);
        }
    }
}

/// The lock is held for a few instructions, none of which can panic.
fn lock(current: &Mutex<Current>) -> MutexGuard<'_, Current> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Current {
    fn shared(&self) -> Option<Shared> {
        let connection = MultiplexedConnection::clone(self.connection.as_ref()?);
        Some(Shared {
            number: self.number,
            connection,
        })
    }
}
