//! One connection to a server, shared by all requests, replaced when it fails.
//!
//! A connection of a pool per request would cost a PING, and one request at a time on each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, Cmd, ConnectionInfo, RedisError, RedisResult, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::dial::{Dial, Dialled, To, check_role};
use super::error::{of_redis, spoils_connection, timed_out};
use super::near::{NearCache, Ticket};
use super::script::{ScriptCall, after_asking};
use super::servers::Settings;
use super::time::ServerTime;
use super::writers::Writers;
use crate::error::Error;
use crate::store::Key;

/// After a call waited this long in vain, or half its time, its connection is replaced.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often sentinels are asked whether the master is still the same, while it is in use.
const SENTINELS_ASKED_EVERY: Duration = Duration::from_secs(2);

/// The way to one server.
pub(super) struct Shared {
    dial: Arc<Dial>,
    current: Arc<Mutex<Current>>,
    /// Where a change waits for the replicas.
    writers: Option<Writers>,
}

/// What is sent to a server.
#[derive(Clone, Copy)]
pub(super) enum Call<'c> {
    /// It changes something; a session, if a key is given.
    Change(&'c ScriptCall, Option<Key>),
    /// It changes nothing. TIME goes along in the same round trip if it is due.
    Read(&'c Cmd, Option<Key>),
}

/// What was answered, and what the near cache needs to keep it.
pub(super) struct Answered {
    pub(super) value: Value,
    pub(super) ticket: Option<Ticket>,
}

#[derive(Default)]
struct Current {
    /// Counts the connections, so that nobody gives back a newer one than the one that failed.
    number: u64,
    dialled: Option<Dialled>,
    /// A hundred requests that meet a dead connection wait for one new one.
    connecting: Option<watch::Receiver<Outcome>>,
    /// When sentinels were last asked.
    sentinels_asked: Option<Instant>,
}

/// What became of connecting; `None` while it is under way.
type Outcome = Option<Result<(), Error>>;

/// Why a call failed.
pub(super) enum Failed {
    Redis(RedisError),
    Other(Error),
}

impl From<RedisError> for Failed {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

/// The connection, for one call.
struct Lent {
    number: u64,
    connection: MultiplexedConnection,
}

impl Shared {
    pub(super) fn new(to: To, settings: &Settings) -> Self {
        let near = settings.near.map(|within| Arc::new(NearCache::new(within)));
        let waits = settings.wait_replicas > 0;
        Self {
            dial: Arc::new(Dial {
                to,
                timeout: settings.connect_timeout,
                near,
                time: Arc::default(),
            }),
            current: Arc::default(),
            writers: waits.then(|| Writers::new(settings)),
        }
    }

    pub(super) fn time(&self) -> &ServerTime {
        &self.dial.time
    }

    pub(super) fn near(&self) -> Option<&NearCache> {
        self.dial.near.as_deref()
    }

    /// Without user and password.
    pub(super) fn address(&self) -> String {
        self.dial.address()
    }

    /// Which server a new connection would lead to.
    pub(super) async fn server(&self, deadline: Instant) -> Result<ConnectionInfo, Error> {
        let server = timeout_at(deadline, self.dial.server()).await;
        server.map_err(|_| timed_out(false))?
    }

    /// Forgets all copies: what is at this server may have changed without a word.
    pub(super) fn forget_copies(&self) {
        if let Some(near) = self.near() {
            near.forget_all();
        }
    }

    /// Leaves a connection that answered what it should not: nobody knows what its next answer is to.
    pub(super) fn leave(&self) {
        lock(&self.current).dialled = None;
    }

    /// Connects, unless it is connected.
    pub(super) async fn connected(&self, deadline: Instant) -> Result<(), Error> {
        let lent = timeout_at(deadline, self.lent()).await;
        lent.map_err(|_| timed_out(false))?.map(drop)
    }

    /// Connects, unless it is connected, and does not wait for that.
    pub(super) fn warm(&self) {
        let mut current = lock(&self.current);
        if current.dialled.is_none() && current.connecting.is_none() {
            current.connecting = Some(self.connect());
        }
    }

    /// Makes a call within a deadline. If the connection is to blame, it is replaced. Then the call
    /// is made once more if it changes nothing, or if the server said that it did nothing.
    ///
    /// After ASKING, a node answers about a slot that it is just getting.
    pub(super) async fn run(
        &self,
        call: Call<'_>,
        deadline: Instant,
        asking: bool,
    ) -> Result<Answered, Error> {
        match call {
            Call::Read(command, key) => {
                // Before a connection is taken, see there.
                let ticket = key.and_then(|key| Some(self.near()?.ticket(key)));
                let send = |lent: Lent| async move {
                    let reply = self.read(lent.connection, command, asking).await;
                    reply.map_err(Failed::Redis)
                };
                let value = self.try_twice(deadline, false, send).await?;
                Ok(Answered { value, ticket })
            }
            Call::Change(script, key) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let writing = key.and_then(|key| Some(self.near()?.writing(key, left)));
                let send = |lent: Lent| self.change(lent, script, deadline, asking);
                let changed = self.try_twice(deadline, true, send).await;
                // What was refused was not done.
                let is_known = !changed.as_ref().is_err_and(Error::is_unknown);
                if let Some(writing) = writing.filter(|_| is_known) {
                    writing.answered();
                }
                let ticket = None;
                changed.map(|value| Answered { value, ticket })
            }
        }
    }

    async fn try_twice<F>(
        &self,
        deadline: Instant,
        changes: bool,
        send: impl Fn(Lent) -> F,
    ) -> Result<Value, Error>
    where
        F: Future<Output = Result<Value, Failed>>,
    {
        let timeout = deadline.saturating_duration_since(Instant::now());
        let mut tries_left = 2;
        loop {
            tries_left -= 1;
            let lent = timeout_at(deadline, self.lent()).await;
            let lent = lent.map_err(|_| timed_out(false))??;
            let number = lent.number;
            let waiting = Waiting::new(self, number, PATIENCE.min(timeout / 2));
            let reply = timeout_at(deadline, send(lent)).await;
            let Ok(reply) = reply else {
                return Err(timed_out(changes));
            };
            waiting.over();
            let error = match reply {
                Ok(reply) => return Ok(reply),
                Err(Failed::Other(error)) => return Err(error),
                Err(Failed::Redis(error)) => error,
            };
            let is_spoilt = spoils_connection(&error);
            if is_spoilt {
                give_back(&self.current, number);
            }
            if !is_spoilt || tries_left == 0 || !may_be_sent_again(changes, &error) {
                return Err(of_redis(changes, error));
            }
        }
    }

    async fn change(
        &self,
        lent: Lent,
        script: &ScriptCall,
        deadline: Instant,
        asking: bool,
    ) -> Result<Value, Failed> {
        let Some(writers) = &self.writers else {
            return Ok(script.query(lent.connection, asking).await?);
        };
        let writer = writers.take(&self.dial, lent.number).await?;
        let value = script.query(writer.connection.clone(), asking).await?;
        writers.wait(writer, deadline).await?;
        Ok(value)
    }

    async fn read(
        &self,
        mut connection: MultiplexedConnection,
        command: &Cmd,
        asking: bool,
    ) -> RedisResult<Value> {
        if asking {
            return after_asking(&mut connection, command).await;
        }
        let must_be_master = self.dial.must_be_master();
        let reply = if self.time().is_due() {
            let (mut asks_time, asks_role) = (connection.clone(), connection.clone());
            let asking = redis::cmd("TIME");
            let (now, role, reply) = tokio::join!(
                asking.query_async(&mut asks_time),
                check_role(asks_role, must_be_master),
                command.query_async(&mut connection)
            );
            self.time().heard_reply(now.ok());
            self.ask_sentinels();
            role?;
            reply?
        } else {
            command.query_async(&mut connection).await?
        };
        // A replica that is being filled has nothing, or not yet this.
        if is_absent(&reply) {
            check_role(connection, must_be_master).await?;
        }
        Ok(reply)
    }

    /// Leaves a server that sentinels have replaced while it still answers, because it is cut off from
    /// them. Nobody waits for that.
    fn ask_sentinels(&self) {
        let To::Master(sentinels) = &self.dial.to else {
            return;
        };
        let (number, address) = {
            let mut current = lock(&self.current);
            let asked = current.sentinels_asked;
            let is_due = asked.is_none_or(|asked| asked.elapsed() >= SENTINELS_ASKED_EVERY);
            let (Some(dialled), true) = (&current.dialled, is_due) else {
                return;
            };
            let found = (current.number, dialled.address.clone());
            current.sentinels_asked = Some(Instant::now());
            found
        };
        let (sentinels, current) = (Arc::clone(sentinels), Arc::clone(&self.current));
        tokio::spawn(async move {
            let master = sentinels.master().await;
            if master.is_ok_and(|master| master.addr().to_string() != address) {
                give_back(&current, number);
            }
        });
    }

    async fn lent(&self) -> Result<Lent, Error> {
        loop {
            let mut connecting = {
                let mut current = lock(&self.current);
                if let Some(lent) = current.lent() {
                    return Ok(lent);
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

    /// Connects in a task of its own, which no request's deadline ends.
    fn connect(&self) -> watch::Receiver<Outcome> {
        let (sender, receiver) = watch::channel(None);
        let (dial, current) = (Arc::clone(&self.dial), Arc::clone(&self.current));
        tokio::spawn(async move {
            let dialled = dial.connect().await;
            let outcome = {
                let mut current = lock(&current);
                current.connecting = None;
                dialled.map(|dialled| {
                    current.number += 1;
                    current.dialled = Some(dialled);
                })
            };
            sender.send_replace(Some(outcome));
        });
        receiver
    }
}

/// Whether a load found nothing: an empty hash, or none of the fields.
fn is_absent(reply: &Value) -> bool {
    match reply {
        Value::Nil => true,
        Value::Array(values) => values.iter().all(|value| *value == Value::Nil),
        Value::Map(pairs) => pairs.is_empty(),
        _ => false,
    }
}

fn may_be_sent_again(changes: bool, error: &RedisError) -> bool {
    let was_answered = error.code().is_some();
    was_answered || (!changes && !error.is_timeout())
}

/// Ends a spoilt connection, unless another one has taken its place already.
fn give_back(current: &Mutex<Current>, number: u64) {
    let mut current = lock(current);
    if current.number == number {
        current.dialled = None;
    }
}

/// A call that waits for its answer. If it gives up after a long wait, the connection does not
/// answer, and the next call gets another one.
struct Waiting<'s> {
    shared: &'s Shared,
    number: u64,
    patience: Duration,
    since: Instant,
    is_over: bool,
}

impl<'s> Waiting<'s> {
    fn new(shared: &'s Shared, number: u64, patience: Duration) -> Self {
        Self {
            shared,
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
            give_back(&self.shared.current, self.number);
        }
    }
}

/// The lock is held for a few instructions, none of which can panic.
fn lock(current: &Mutex<Current>) -> MutexGuard<'_, Current> {
    current.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Current {
    fn lent(&self) -> Option<Lent> {
        let dialled = self.dialled.as_ref()?;
        Some(Lent {
            number: self.number,
            connection: dialled.connection.clone(),
        })
    }
}
