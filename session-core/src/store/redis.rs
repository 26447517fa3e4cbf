//! A store in Redis: one hash per session, one hash field per struct field.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_redis::Pool;
use deadpool_redis::redis::{self, FromRedisValue as _, Script, ScriptInvocation, Value};
use log::warn;

use self::lease::{Call, Leases};
use super::{Created, Key, Store, Take, Taken, Update, Updated, Wanted};
use crate::changes::Change;
use crate::error::Error;
use crate::recent::Recent;
use crate::record::{DEADLINE_PREFIX, Fields, Metadata, Name, Record, pack_lifetime, pack_millis};

mod error;
mod lease;

/// The hash field that holds the metadata. The scripts keep more under names that begin like this,
/// which no struct field has.
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
/// `+hmget +hgetall +hkeys +hget +hset +hdel +hincrby +exists +pttl +pexpire +del +eval +evalsha
/// +script|load` on
/// `~{prefix}*`, and `+ping +unwatch +select` for the pool.
pub struct RedisStore {
    address: String,
    prefix: String,
    timeout: Duration,
    leases: Leases,
    create: Script,
    take: Script,
    update: Script,
}

impl RedisStore {
    /// The prefix of all keys unless told otherwise.
    pub const DEFAULT_PREFIX: &'static str = "session:";

    /// How long an operation may take unless told otherwise: 2 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

    /// A store that takes its connection from `pool`. `address` is for an operator's eyes: where
    /// the server is, without a password.
    ///
    /// The store has a deadline of its own, [`timeout`](Self::timeout). redis-rs gives a connection
    /// one too, 500 ms unless the pool was made with another: where that is shorter, it counts.
    #[must_use]
    pub fn new(pool: Pool, address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            prefix: Self::DEFAULT_PREFIX.into(),
            timeout: Self::DEFAULT_TIMEOUT,
            leases: Leases::new(pool),
            create: Script::new(include_str!("redis/create.lua")),
            take: Script::new(include_str!("redis/take.lua")),
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
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        let command = match wanted {
            Wanted::All => redis::cmd("HGETALL").arg(self.key(key)).take(),
            Wanted::Fields(names) => {
                let mut command = redis::cmd("HMGET");
                command.arg(self.key(key)).arg(METADATA);
                for name in names {
                    command.arg(&**name);
                }
                command
            }
        };
        let reply = match self.run(Call::Command(&command)).await {
            Err(error) if error::is_wrong_type(&error) => {
                warn!("session {key}: what is stored under its key is no session");
                return Ok(None);
            }
            reply => reply?,
        };
        let (metadata, fields) = match wanted {
            Wanted::All => read_all(reply),
            Wanted::Fields(names) => read_some(names, reply),
        }?;
        let Some(metadata) = metadata else {
            return Ok(None);
        };
        let Some(metadata) = Metadata::unpack(&metadata) else {
            warn!("session {key}: its metadata cannot be understood; taken for absent");
            return Ok(None);
        };
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
        let mut call = self.update.key(self.key(key));
        write_update(&mut call, update);
        let (answer, mut values) = match self.run(Call::Script(&call)).await {
            Err(error) if error::is_wrong_type(&error) => return Ok(Updated::Gone),
            reply => read_answer(reply?)?,
        };
        match &*answer {
            b"conflict" => Ok(Updated::Conflict),
            b"done" => {
                let merged = update.changes.iter().filter(|(_, change)| change.merges());
                let names = merged.map(|(name, _)| name.clone());
                Ok(Updated::Done(names.zip(values).collect()))
            }
            b"gone" => Ok(Updated::Gone),
            b"overflow" => {
                let name = values.next().unwrap_or_default();
                Err(Error::overflow(&String::from_utf8_lossy(&name)))
            }
            _ => Err(error::unexpected()),
        }
    }

    async fn take(&self, key: Key, take: &Take) -> Result<Taken, Error> {
        let mut call = self.take.key(self.key(key));
        call.arg(&head(take.epoch)).arg(take.id.as_bytes());
        for name in take.names() {
            call.arg(name);
        }
        let (answer, mut values) = match self.run(Call::Script(&call)).await {
            Err(error) if error::is_wrong_type(&error) => return Ok(Taken::Gone),
            reply => read_answer(reply?)?,
        };
        match &*answer {
            b"done" => Ok(Taken::Done(values.next())),
            b"gone" => Ok(Taken::Gone),
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

/// Reads the reply of an HGETALL: the metadata, and all fields of sessions' data.
fn read_all(reply: Value) -> Result<(Option<Vec<u8>>, Fields), Error> {
    let pairs = Vec::<(Vec<u8>, Vec<u8>)>::from_redis_value(reply);
    let pairs = pairs.map_err(|_| error::unexpected())?;
    let mut metadata = None;
    let mut fields = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        // A name that is no text is not one of ours.
        match String::from_utf8(name) {
            Ok(name) if name == METADATA => metadata = Some(value),
            Ok(name) if is_own(&name) => {}
            Ok(name) => fields.push((Name::from(name), value)),
            Err(_) => {}
        }
    }
    Ok((metadata, fields.into_iter().collect()))
}

/// Whether a hash field is this store's, not the session's: who took what is nobody's to read.
fn is_own(name: &str) -> bool {
    name.starts_with(METADATA) && !name.starts_with(DEADLINE_PREFIX)
}

/// Reads the reply of an HMGET of the metadata and of these fields.
fn read_some(names: &[Name], reply: Value) -> Result<(Option<Vec<u8>>, Fields), Error> {
    let values = Vec::<Option<Vec<u8>>>::from_redis_value(reply);
    let mut values = values.map_err(|_| error::unexpected())?.into_iter();
    let metadata = values.next().flatten();
    let pairs = names.iter().zip(values);
    let present = pairs.filter_map(|(name, value)| Some((name.clone(), value?)));
    Ok((metadata, present.collect()))
}

/// Reads the reply of a script: a word, and the values that follow it.
fn read_answer(reply: Value) -> Result<(Vec<u8>, std::vec::IntoIter<Vec<u8>>), Error> {
    let words = Vec::<Vec<u8>>::from_redis_value(reply);
    let mut words = words.map_err(|_| error::unexpected())?.into_iter();
    let answer = words.next().ok_or_else(error::unexpected)?;
    Ok((answer, words))
}

/// How the metadata of a session of this epoch begins.
fn head(epoch: u32) -> [u8; Metadata::HEAD_LEN] {
    let metadata = Metadata {
        epoch,
        ..Metadata::default()
    };
    metadata.pack_head()
}

/// Writes the arguments of `update.lua`.
fn write_update(call: &mut ScriptInvocation<'_>, update: &Update) {
    let id: &[u8] = match update.must_be_remembered() {
        true => update.id.as_bytes(),
        false => b"",
    };
    call.arg(&head(update.epoch));
    call.arg(id).arg(ttl_millis(update.ttl));
    call.arg(Recent::SECONDS).arg(Recent::CAPACITY / 16);
    if let Some(expected) = &update.expected {
        for (name, value) in &expected.fields {
            match value {
                Some(value) => call.arg("is").arg(&**name).arg(value),
                None => call.arg("none").arg(&**name),
            };
        }
        for (prefix, count) in &expected.counts {
            call.arg("count").arg(prefix).arg(count);
        }
    }
    if update.changes.resets() {
        call.arg("reset");
    }
    for expired in update.changes.expired() {
        call.arg("expired").arg(&*expired.name);
        call.arg(&*expired.deadline_name).arg(&expired.deadline);
    }
    for (name, change) in update.changes.iter() {
        let name = &**name;
        match change {
            Change::Add {
                delta,
                base,
                counter,
            } => {
                call.arg("add").arg(name).arg(delta).arg(base);
                call.arg(counter.range.min).arg(counter.range.max);
                call.arg(counter.aliases.len()).arg(counter.aliases)
            }
            Change::Max(value) => call.arg("max").arg(name).arg(value),
            Change::Min(value) => call.arg("min").arg(name).arg(value),
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
