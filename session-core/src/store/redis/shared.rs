//! One connection to a server, shared by all requests and replaced when it fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, Cmd, ConnectionInfo, RedisError, RedisResult, Value};
use tokio::time::{Instant, timeout_at};

use super::dial::{Dial, Dialled, To, check_role};
use super::error::{of_redis, spoils_connection, timed_out};
use super::flight::{Flight, SingleFlight};
use super::near::NearCache;
use super::script::{ScriptCall, after_asking};
use super::servers::{Answer, Request, Settings, Skew};
use super::time::ServerTime;
use super::writers::Writers;
use crate::error::Error;

/// After this, or half the call's time if that is less, a waiting call's connection is replaced.
const PATIENCE: Duration = Duration::from_millis(500);

const SENTINELS_ASKED_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Shared {
    dial: Arc<Dial>,
    current: Arc<Mutex<Current>>,
    writers: Option<Writers>,
}

#[derive(Default)]
struct Current {
    /// So nobody gives back a newer connection than the one that failed.
    number: u64,
    dialled: Option<Dialled>,
    connecting: SingleFlight,
    sentinels_asked: Option<Instant>,
}

struct Lent {
    number: u64,
    connection: MultiplexedConnection,
}

impl Shared {
    pub(super) fn new(to: To, settings: &Settings) -> Self {
        let near = settings.near.map(|within| Arc::new(NearCache::new(within)));
        let dial = Dial {
            to,
            timeout: settings.connect_timeout,
            near,
            time: Arc::default(),
            trouble: Arc::default(),
            tells_time: true,
        };
        let writers = (settings.wait_replicas > 0).then(|| Writers::new(&dial, settings));
        Self {
            dial: Arc::new(dial),
            current: Arc::default(),
            writers,
        }
    }

    pub(super) fn time(&self) -> &ServerTime {
        &self.dial.time
    }

    pub(super) fn near(&self) -> Option<&NearCache> {
        self.dial.near.as_deref()
    }

    pub(super) fn address(&self) -> String {
        self.dial.address()
    }

    pub(super) fn host(&self) -> String {
        let address = self.address();
        let host = address.rsplit_once(':').map(|(host, _)| host.to_owned());
        host.unwrap_or(address)
    }

    pub(super) async fn server(&self, deadline: Instant) -> Result<ConnectionInfo, Error> {
        let server = timeout_at(deadline, self.dial.server()).await;
        server.map_err(|_| timed_out(false))?
    }

    /// For data that may have changed without an invalidation.
    pub(super) fn forget_copies(&self) {
        if let Some(near) = self.near() {
            near.forget_all();
        }
    }

    /// For an unexpected answer: the next one may belong to any call.
    pub(super) fn leave(&self) {
        lock(&self.current).dialled = None;
    }

    pub(super) async fn connected(&self, deadline: Instant) -> Result<(), Error> {
        self.lent_within(deadline).await.map(drop)
    }

    /// Starts to connect, and does not wait.
    pub(super) fn warm(&self) {
        let mut current = lock(&self.current);
        if current.dialled.is_none() && current.connecting.under_way().is_none() {
            self.connect(&mut current);
        }
    }

    /// If the connection is to blame, this replaces it, and retries once if the call changes nothing or the
    /// server said that it did nothing.
    ///
    /// `asking` sends ASKING first: the node is importing the slot. `skew` is called once the server is
    /// known.
    pub(super) async fn run(
        self: &Arc<Self>,
        request: Request<'_>,
        skew: &(dyn Fn() -> Skew + Sync),
        deadline: Instant,
        asking: bool,
    ) -> Result<Answer, Error> {
        let (value, ticket) = match request {
            Request::Read(command, key) => {
                // Before taking a connection; see `NearCache::ticket`.
                let ticket = key.and_then(|key| Some(self.near()?.ticket(key)));
                let send = |connection| self.read(connection, command, asking);
                (self.try_twice(deadline, false, send).await?, ticket)
            }
            Request::Change(script, key) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let writing = key.and_then(|key| Some(self.near()?.writing(key, left)));
                let script = || script(skew());
                let changed = match &self.writers {
                    Some(writers) => {
                        self.change_and_wait(writers, script, deadline, asking)
                            .await
                    }
                    None => {
                        let send = |connection| {
                            let script = script();
                            async move { script.query(connection, asking).await }
                        };
                        self.try_twice(deadline, true, send).await
                    }
                };
                // A refused write did not happen.
                let is_known = !changed.as_ref().is_err_and(Error::is_unknown);
                if let Some(writing) = writing.filter(|_| is_known) {
                    writing.answered();
                }
                (changed?, None)
            }
        };
        Ok(Answer {
            value,
            ticket,
            shared: Arc::clone(self),
        })
    }

    pub(super) async fn ask(
        self: &Arc<Self>,
        command: &Cmd,
        deadline: Instant,
    ) -> Result<Value, Error> {
        let request = Request::Read(command, None);
        let answer = self.run(request, &Skew::default, deadline, false).await;
        Ok(answer?.value)
    }

    async fn try_twice<F>(
        &self,
        deadline: Instant,
        changes: bool,
        send: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<Value, Error>
    where
        F: Future<Output = RedisResult<Value>>,
    {
        let timeout = deadline.saturating_duration_since(Instant::now());
        let mut tries_left = 2;
        loop {
            tries_left -= 1;
            let Lent { number, connection } = self.lent_within(deadline).await?;
            let waiting = Waiting::new(self, number, PATIENCE.min(timeout / 2));
            let reply = timeout_at(deadline, send(connection)).await;
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
                give_back(&self.current, number);
            }
            if !is_spoilt || tries_left == 0 || !may_be_sent_again(changes, &error) {
                return Err(of_redis(changes, error));
            }
        }
    }

    async fn change_and_wait(
        &self,
        writers: &Writers,
        script: impl Fn() -> ScriptCall,
        deadline: Instant,
        asking: bool,
    ) -> Result<Value, Error> {
        let mut tries_left = 2;
        loop {
            tries_left -= 1;
            let taking = timeout_at(deadline, async {
                let place = writers.place().await?;
                // Read after getting a place, so it is current.
                let number = self.lent().await?.number;
                writers.take(place, number).await
            });
            // Nothing was sent yet.
            let writer = taking.await.map_err(|_| self.dial.timed_out())??;
            let script = script();
            let sending = timeout_at(deadline, script.query(writer.connection.clone(), asking));
            let error = match sending.await.map_err(|_| timed_out(true))? {
                Ok(value) if is_done(&value) => {
                    writers.wait(writer, deadline).await?;
                    return Ok(value);
                }
                Ok(value) => {
                    writers.keep(writer);
                    return Ok(value);
                }
                Err(error) => error,
            };
            let is_spoilt = spoils_connection(&error);
            match is_spoilt {
                true => give_back(&self.current, writer.number),
                false => writers.keep(writer),
            }
            if !is_spoilt || tries_left == 0 || !may_be_sent_again(true, &error) {
                return Err(of_redis(true, error));
            }
        }
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
            let sent_at = std::time::Instant::now();
            let (mut asks_time, asks_role) = (connection.clone(), connection.clone());
            let asking = redis::cmd("TIME");
            let (now, role, reply) = tokio::join!(
                asking.query_async(&mut asks_time),
                check_role(asks_role, must_be_master),
                command.query_async(&mut connection)
            );
            self.time().heard_reply(now.ok(), sent_at);
            role?;
            reply?
        } else {
            command.query_async(&mut connection).await?
        };
        // A replica that is syncing may not have this key yet.
        if is_absent(&reply) {
            check_role(connection, must_be_master).await?;
        }
        Ok(reply)
    }

    /// Leaves a master that the sentinels replaced but that still answers. No call waits for this.
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

    async fn lent_within(&self, deadline: Instant) -> Result<Lent, Error> {
        let lent = timeout_at(deadline, self.lent()).await;
        lent.map_err(|_| self.dial.timed_out())?
    }

    async fn lent(&self) -> Result<Lent, Error> {
        self.ask_sentinels();
        loop {
            let connecting = {
                let mut current = lock(&self.current);
                if let Some(lent) = current.lent() {
                    return Ok(lent);
                }
                match current.connecting.under_way() {
                    Some(connecting) => connecting,
                    None => self.connect(&mut current),
                }
            };
            connecting.end().await?;
        }
    }

    fn connect(&self, current: &mut Current) -> Flight {
        let (dial, connected) = (Arc::clone(&self.dial), Arc::clone(&self.current));
        current.connecting.begin(async move {
            let dialled = dial.connect().await?;
            let mut current = lock(&connected);
            current.number += 1;
            current.dialled = Some(dialled);
            Ok(())
        })
    }
}

/// An empty hash, or none of the fields.
fn is_absent(reply: &Value) -> bool {
    match reply {
        Value::Nil => true,
        Value::Array(values) => values.iter().all(|value| *value == Value::Nil),
        Value::Map(pairs) => pairs.is_empty(),
        _ => false,
    }
}

/// Whether a script created a session, or did its step.
fn is_done(reply: &Value) -> bool {
    match reply {
        Value::Int(created) => *created == 1,
        Value::Array(words) => matches!(words.first(), Some(Value::Int(0 | 6))),
        _ => false,
    }
}

fn may_be_sent_again(changes: bool, error: &RedisError) -> bool {
    let was_answered = error.code().is_some();
    was_answered || (!changes && !error.is_timeout())
}

/// Ends a connection, unless another has replaced it.
fn give_back(current: &Mutex<Current>, number: u64) {
    let mut current = lock(current);
    if current.number == number {
        current.dialled = None;
    }
}

/// If a call gives up after a long wait, the next one gets a new connection.
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

/// Held for a few instructions that cannot panic.
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
