//! One connection of the pool, shared by all requests, replaced when it fails.
//!
//! A checkout per request would cost a PING, and one request at a time on each connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Cmd, RedisResult, ScriptInvocation, Value};
use deadpool_redis::{Connection, Pool};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{of_pool, of_redis, spoils_connection, timed_out};
use crate::error::Error;

/// How long connecting may take. Longer than a request waits: who gives up must not keep those who
/// come after it from what is nearly there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Leases {
    pool: Pool,
    current: Arc<Mutex<Current>>,
}

/// What is sent to the server.
#[derive(Clone, Copy)]
pub(super) enum Call<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
}

impl Call<'_> {
    async fn query(self, mut connection: MultiplexedConnection) -> RedisResult<Value> {
        match self {
            Call::Command(command) => command.query_async(&mut connection).await,
            Call::Script(script) => script.invoke_async(&mut connection).await,
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

struct Lease {
    number: u64,
    connection: MultiplexedConnection,
}

impl Leases {
    pub(super) fn new(pool: Pool) -> Self {
        Self {
            pool,
            current: Arc::default(),
        }
    }

    /// Makes a call within a deadline. Where the connection is to blame, it is replaced, and the
    /// call made once more.
    pub(super) async fn run(&self, call: Call<'_>, timeout: Duration) -> Result<Value, Error> {
        let deadline = Instant::now() + timeout;
        let mut tries_left = 2;
        loop {
            tries_left -= 1;
            let lease = timeout_at(deadline, self.lease()).await;
            let lease = lease.map_err(|_| timed_out())??;
            let Ok(reply) = timeout_at(deadline, call.query(lease.connection)).await else {
                self.give_back(lease.number);
                return Err(timed_out());
            };
            match reply {
                Ok(reply) => return Ok(reply),
                Err(error) if spoils_connection(&error) => {
                    self.give_back(lease.number);
                    if tries_left == 0 || error.is_timeout() {
                        return Err(of_redis(error));
                    }
                }
                Err(error) => return Err(of_redis(error)),
            }
        }
    }

    async fn lease(&self) -> Result<Lease, Error> {
        loop {
            let mut connecting = {
                let mut current = lock(&self.current);
                if let Some(lease) = current.lease() {
                    return Ok(lease);
                }
                current
                    .connecting
                    .get_or_insert_with(|| self.connect())
                    .clone()
            };
            let outcome = connecting.wait_for(Option::is_some).await;
            // The sender is gone without a word only if the runtime is shutting down.
            let outcome = outcome.map_err(|_| timed_out())?.clone();
            outcome.unwrap_or(Ok(()))?;
        }
    }

    /// Connects in a task of its own, which no request's deadline ends.
    fn connect(&self) -> watch::Receiver<Outcome> {
        let (sender, receiver) = watch::channel(None);
        let (pool, current) = (self.pool.clone(), Arc::clone(&self.current));
        tokio::spawn(async move {
            let connection = timeout(CONNECT_TIMEOUT, pool.get()).await;
            let connection = connection.map_err(|_| timed_out());
            let connection = connection.and_then(|connection| connection.map_err(of_pool));
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

/// The lock is held for a few instructions, none of which can panic.
fn lock(current: &Mutex<Current>) -> MutexGuard<'_, Current> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Current {
    fn lease(&self) -> Option<Lease> {
        let connection = MultiplexedConnection::clone(self.connection.as_ref()?);
        Some(Lease {
            number: self.number,
            connection,
        })
    }
}
