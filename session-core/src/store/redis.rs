//! A store in Redis: one hash per session, one hash field per struct field.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_redis::Pool;
use deadpool_redis::redis::{self, FromRedisValue as _, Script, ScriptInvocation, Value};
use log::warn;

use self::lease::{Call, Leases};
use super::{Created, Key, Store, Update, Updated, present};
use crate::changes::Change;
use crate::error::Error;
use crate::recent::Recent;
use crate::record::{Fields, Metadata, Record, pack_lifetime, pack_millis};

mod error;
mod lease;

/// The hash field that holds the metadata. No struct field has this name.
const METADATA: &str = "@";

/// The longest time to live that is sent, 100 years: Redis refuses those that overflow its clock.
const MAX_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A store in Redis: one hash per session, one hash field per struct field as JSON, and one of 64
/// bytes, `@`, for the metadata.
///
/// A load is one HMGET, a commit one Lua script; both are one command in one round trip. All
/// requests share one connection of the pool, on which they pipeline by themselves; it is replaced
/// when it fails. The key of a session is `{prefix}{name}:{id}`.
///
/// # What the Redis user must be allowed
///
/// `+hmget +hget +hset +hdel +hincrby +exists +pttl +pexpire +del +eval +evalsha +script|load` on
/// `~{prefix}*`, and `+ping +unwatch` for the pool.
pub struct RedisStore {
    address: String,
    prefix: String,
    timeout: Duration,
    leases: Leases,
    create: Script,
    update: Script,
}

impl RedisStore {
    /// The prefix of all keys unless told otherwise.
    pub const DEFAULT_PREFIX: &'static str = "session:";

    /// How long an operation may take unless told otherwise: 2 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

    /// A store that takes its connection from `pool`. `address` is for an operator's eyes: where
    /// the server is, without a password.
    #[must_use]
    pub fn new(pool: Pool, address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            prefix: Self::DEFAULT_PREFIX.into(),
            timeout: Self::DEFAULT_TIMEOUT,
            leases: Leases::new(pool),
            create: Script::new(include_str!("redis/create.lua")),
            update: Script::new(include_str!("redis/update.lua")),
        }
    }

    /// The same store with another prefix of its keys. Default: `session:`.
    ///
    /// Applications and environments that share a server need one each.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        Self { prefix, ..self }
    }

    /// The same store with another deadline for each of its operations, waiting, connecting and
    /// answering together. Default: 2 seconds.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Whether the server answers.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub async fn ping(&self) -> Result<(), Error> {
        let ping = redis::cmd("PING");
        self.run(Call::Command(&ping)).await.map(drop)
    }

    fn key(&self, key: Key) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Every call may be repeated: what was done is not done again.
    async fn run(&self, call: Call<'_>) -> Result<Value, Error> {
        self.leases.run(call, self.timeout).await
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("address", &self.address)
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn load(&self, key: Key, names: &[&'static str]) -> Result<Option<Arc<Record>>, Error> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.key(key)).arg(METADATA).arg(names);
        let reply = match self.run(Call::Command(&command)).await {
            Err(error) if error::is_wrong_type(&error) => {
                warn!("session {key}: what is stored under its key is no session");
                return Ok(None);
            }
            reply => reply?,
        };
        let values = Vec::<Option<Vec<u8>>>::from_redis_value(reply);
        let mut values = values.map_err(|_| error::unexpected())?.into_iter();
        let Some(metadata) = values.next().flatten() else {
            return Ok(None);
        };
        let Some(metadata) = Metadata::unpack(&metadata) else {
            warn!("session {key}: its metadata cannot be understood; taken for absent");
            return Ok(None);
        };
        let fields = present(names, values.collect());
        Ok(Some(Arc::new(Record::new(metadata, fields))))
    }

    async fn create(&self, key: Key, record: Record, ttl: Duration) -> Result<Created, Error> {
        let mut call = self.create.key(self.key(key));
        let metadata = &record.metadata;
        call.arg(ttl_millis(ttl)).arg(&metadata.pack());
        call.arg(metadata.digest.as_bytes());
        for (name, value) in record.fields.iter() {
            call.arg(&**name).arg(value);
        }
        match self.run(Call::Script(&call)).await? {
            Value::Int(1) => Ok(Created::Done),
            Value::Int(0) => Ok(Created::Exists),
            _ => Err(error::unexpected()),
        }
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        let moved = |change: &Change| matches!(change, Change::Add { .. });
        let mut call = self.update.key(self.key(key));
        write_update(&mut call, update);
        let reply = match self.run(Call::Script(&call)).await {
            Ok(Value::Array(reply)) => reply,
            Ok(_) => return Err(error::unexpected()),
            Err(error) if error::is_wrong_type(&error) => return Ok(Updated::Gone),
            Err(error) => return Err(error),
        };
        let mut reply = reply.into_iter().map(|value| match value {
            Value::BulkString(bytes) => Ok(bytes),
            _ => Err(error::unexpected()),
        });
        match reply.next().transpose()?.as_deref() {
            Some(b"gone") => Ok(Updated::Gone),
            Some(b"overflow") => {
                let name = reply.next().transpose()?.unwrap_or_default();
                Err(Error::overflow(&String::from_utf8_lossy(&name)))
            }
            Some(b"done") => {
                let names = update.changes.iter().filter(|(_, change)| moved(change));
                let values = names.zip(reply);
                let counters: Result<Fields, Error> = values
                    .map(|((name, _), value)| Ok((name.clone(), value?)))
                    .collect();
                counters.map(Updated::Done)
            }
            _ => Err(error::unexpected()),
        }
    }

    async fn delete(&self, key: Key) -> Result<(), Error> {
        let mut command = redis::cmd("DEL");
        command.arg(self.key(key));
        self.run(Call::Command(&command)).await.map(drop)
    }

    fn describe(&self) -> String {
        format!("Redis at {}, keys `{}*`", self.address, self.prefix)
    }
}

/// Writes the arguments of `update.lua`.
fn write_update(call: &mut ScriptInvocation<'_>, update: &Update) {
    let expected = Metadata {
        epoch: update.epoch,
        ..Metadata::default()
    };
    call.arg(&expected.pack()[..Metadata::DIGEST]);
    let id: &[u8] = match update.must_be_remembered() {
        true => update.id.as_bytes(),
        false => b"",
    };
    call.arg(id).arg(ttl_millis(update.ttl));
    call.arg(Recent::SECONDS).arg(Recent::CAPACITY);
    for (name, change) in update.changes.iter() {
        let name = &**name;
        match change {
            Change::Add { delta, base, range } => {
                call.arg("add").arg(name).arg(delta).arg(base);
                call.arg(range.min).arg(range.max)
            }
            Change::Set(value) => call.arg("set").arg(name).arg(value),
            Change::Unset => call.arg("unset").arg(name),
        };
    }
    let mut meta = |offset: usize, bytes: &[u8]| {
        call.arg("meta").arg(offset).arg(bytes);
    };
    meta(Metadata::TOUCHED, &pack_millis(update.touched_at));
    if let Some(rotation) = update.rotation {
        let after = rotation.metadata_after(&Metadata::default());
        meta(Metadata::ROTATION, &after.pack_rotation());
    }
    if let Some(deadline) = update.absolute_deadline {
        meta(Metadata::ABSOLUTE, &pack_millis(deadline));
    }
    if let Some(lifetime) = update.lifetime {
        meta(Metadata::LIFETIME, &pack_lifetime(lifetime));
    }
}

fn ttl_millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.min(MAX_TTL).as_millis()).unwrap_or(u64::MAX)
}
