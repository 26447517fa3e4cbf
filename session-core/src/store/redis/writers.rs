//! Changes that count only once replicas have them: `WAIT`.
//!
//! A connection that waits answers nothing else, so each such change has its own.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Monotonic};

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, FromRedisValue as _, RedisResult, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::dial::Dial;
use super::error::{not_replicated, timed_out};
use super::servers::Settings;
use crate::error::Error;

/// Kept for the answer, after the replicas had their time.
const FOR_THE_ANSWER: Duration = Duration::from_millis(20);

pub(super) struct Writers {
    dial: Dial,
    replicas: usize,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Idle>>,
}

/// With the number of the shared connection at that time. If it changed, the server may be another.
type Idle = (MultiplexedConnection, u64);

pub(super) struct Writer {
    pub(super) connection: MultiplexedConnection,
    pub(super) number: u64,
    _place: OwnedSemaphorePermit,
}

impl Writers {
    pub(super) fn new(dial: &Dial, settings: &Settings) -> Self {
        let places = settings.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            // Copies don't depend on these connections.
            dial: Dial {
                near: None,
                tells_time: false,
                ..dial.clone()
            },
            replicas: settings.wait_replicas,
            places: Arc::new(Semaphore::new(places)),
            idle: Mutex::default(),
        }
    }

    pub(super) async fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        // The semaphore is never closed.
        place.map_err(|_| timed_out(false))
    }

    pub(super) async fn take(
        &self,
        place: OwnedSemaphorePermit,
        number: u64,
    ) -> Result<Writer, Error> {
        let connection = loop {
            let Some((mut connection, of)) = self.with_idle(Vec::pop) else {
                break self.dial.connect().await?.connection;
            };
            if of != number {
                continue;
            }
            let sent_at = Monotonic::now();
            let reply: RedisResult<Value> = redis::cmd("TIME").query_async(&mut connection).await;
            if let Ok(now) = reply {
                self.dial.time.heard_reply(Some(now), sent_at);
                break connection;
            }
        };
        Ok(Writer {
            connection,
            number,
            _place: place,
        })
    }

    /// Whatever fails here, the change was made.
    pub(super) async fn wait(&self, mut writer: Writer, deadline: Instant) -> Result<(), Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero would wait forever.
        let left = left.saturating_sub(FOR_THE_ANSWER).as_millis().max(1);
        let mut wait = redis::cmd("WAIT");
        wait.arg(self.replicas).arg(left.to_string());
        let reply: Result<RedisResult<Value>, _> =
            timeout_at(deadline, wait.query_async(&mut writer.connection)).await;
        let reply = reply.map_err(|_| timed_out(true))?;
        let reply =
            reply.map_err(|error| not_replicated(None, self.replicas).with_source(error))?;
        let replicas = usize::from_redis_value(reply).unwrap_or_default();
        self.keep(writer);
        match replicas >= self.replicas {
            true => Ok(()),
            false => Err(not_replicated(Some(replicas), self.replicas)),
        }
    }

    pub(super) fn keep(&self, writer: Writer) {
        self.with_idle(|idle| idle.push((writer.connection, writer.number)));
    }

    fn with_idle<R>(&self, what: impl FnOnce(&mut Vec<Idle>) -> R) -> R {
        what(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
