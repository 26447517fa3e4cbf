//! Changes that count only once replicas have them: `WAIT`.
//!
//! A connection that waits answers nothing else, so each such change has one of its own meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, FromRedisValue as _, RedisResult, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::dial::Dial;
use super::error::{not_replicated, timed_out};
use super::servers::Settings;
use super::shared::Failed;

/// What is left of a change's time for its answer, after the replicas had theirs.
const FOR_THE_ANSWER: Duration = Duration::from_millis(20);

pub(super) struct Writers {
    /// How many replicas must have a change.
    replicas: usize,
    places: Arc<Semaphore>,
    /// Connections that wait for work.
    idle: Mutex<Vec<Writer>>,
}

/// A connection for one change at a time.
pub(super) struct Writer {
    pub(super) connection: MultiplexedConnection,
    /// The number of the shared connection at that time. With another one, the server may be another.
    number: u64,
    place: Option<OwnedSemaphorePermit>,
}

impl Writers {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            replicas: settings.wait_replicas,
            places: Arc::new(Semaphore::new(settings.max_connections)),
            idle: Mutex::default(),
        }
    }

    /// A connection that lives. It has its place among all until it is dropped or kept.
    pub(super) async fn take(&self, dial: &Dial, number: u64) -> Result<Writer, Failed> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        // They are never closed.
        let place = Some(place.map_err(|_| Failed::Other(timed_out(false)))?);
        loop {
            let idle = self.with_idle(Vec::pop);
            let Some(mut writer) = idle else {
                let dialled = dial.connect().await.map_err(Failed::Other)?;
                let connection = dialled.connection;
                return Ok(Writer {
                    connection,
                    number,
                    place,
                });
            };
            if writer.number != number {
                continue;
            }
            let reply: RedisResult<Value> =
                redis::cmd("TIME").query_async(&mut writer.connection).await;
            if let Ok(now) = reply {
                dial.time.heard_reply(Some(now));
                return Ok(Writer { place, ..writer });
            }
        }
    }

    /// Waits until the replicas have what was changed over this connection.
    pub(super) async fn wait(&self, mut writer: Writer, deadline: Instant) -> Result<(), Failed> {
        let left = deadline.saturating_duration_since(Instant::now());
        // Zero would be for ever.
        let left = left.saturating_sub(FOR_THE_ANSWER).as_millis().max(1);
        let mut wait = redis::cmd("WAIT");
        wait.arg(self.replicas).arg(left.to_string());
        let reply: Value = wait.query_async(&mut writer.connection).await?;
        let replicas = usize::from_redis_value(reply).unwrap_or_default();
        writer.place = None;
        self.with_idle(|idle| idle.push(writer));
        match replicas >= self.replicas {
            true => Ok(()),
            false => Err(Failed::Other(not_replicated(replicas, self.replicas))),
        }
    }

    fn with_idle<R>(&self, what: impl FnOnce(&mut Vec<Writer>) -> R) -> R {
        what(&mut self.idle.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
