//! One connection of the pool, shared by all requests, replaced when it fails.
//!
//! A checkout per request would cost a PING, and one request at a time on each connection.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Cmd, RedisResult, ScriptInvocation, Value};
use deadpool_redis::{Connection, Pool};
use tokio::time::{Instant, timeout_at};

use super::error::{of_pool, of_redis, spoils_connection, timed_out};
use crate::error::Error;

pub(super) struct Leases {
    pool: Pool,
    current: Mutex<Current>,
    /// Held by the one who connects: a hundred requests that meet a dead connection make one new.
    connecting: tokio::sync::Mutex<()>,
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
}

struct Lease {
    number: u64,
    connection: MultiplexedConnection,
}

impl Leases {
    pub(super) fn new(pool: Pool) -> Self {
        Self {
            pool,
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
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
        if let Some(lease) = self.current().lease() {
            return Ok(lease);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(lease) = self.current().lease() {
            return Ok(lease);
        }
        let connection = self.pool.get().await.map_err(of_pool)?;
        let shared = MultiplexedConnection::clone(&connection);
        let mut current = self.current();
        current.number += 1;
        current.connection = Some(connection);
        Ok(Lease {
            number: current.number,
            connection: shared,
        })
    }

    /// Takes a spoilt connection out of the pool for good.
    fn give_back(&self, number: u64) {
        let mut current = self.current();
        if current.number == number
            && let Some(connection) = current.connection.take()
        {
            drop(Connection::take(connection));
        }
    }

    /// The lock is held for a few instructions, none of which can panic.
    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
