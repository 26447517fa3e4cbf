//! A store in Redis: one hash per session, one hash field per struct field.

use std::fmt::{self, Write as _};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use deadpool_redis::Pool;
use deadpool_redis::redis::{self, Cmd, ConnectionInfo, FromRedisValue as _, Value};
use tracing::warn;

use self::connection::{Call, Connections};
use self::near::NearCache;
use self::script::{Script, ScriptCall};
use self::server::Server;
use super::{Created, Delete, Deleted, Key, Store, Update, Updated, UserIndex, Wanted};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::fields::{DEADLINE_PREFIX, Fields, Name, PARENT, Unsorted};
use crate::merge::{Change, Extreme};
use crate::record::{Metadata, Record, pack_millis, pack_seconds};
use crate::token::{Digests, SessionId};

mod connection;
mod error;
pub(crate) mod near;
mod script;
mod server;
mod time;
mod users;

/// The hash field that holds the metadata. No struct field's name begins like this.
const METADATA: &str = "@";

/// The script knows where the digests are.
const _: () = assert!(Metadata::DIGESTS == 1 && Digests::LEN == 32);

/// The longest time to live that is sent, 100 years: Redis refuses those that overflow its clock.
const MAX_TTL: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A store in Redis: one hash per session, one hash field per struct field as JSON, and one of at
/// most 64 bytes, `@`, for the metadata.
///
/// A load is one HMGET (one HGETALL for a type with a map of entries), a commit one Lua script;
/// each is one command in one round trip. What is kept for a user is one more hash,
/// `{prefix}{name}@{digest}`. All requests share one connection of the pool and
/// pipeline on it. It is replaced when it fails. The key of a session is `{prefix}{name}:{id}`.
///
/// Sessions live by the server's clock. If the last answer that told its time is older than a
/// second, TIME goes along with a load.
///
/// # What the Redis user must be allowed
///
/// `+hget +hmget +hgetall +hkeys +hset +hdel +exists +pttl +pexpire +del +time +eval +evalsha` on
/// `~{prefix}*`, `+info` for [`check`](Self::check), and `+ping +unwatch +select` for the pool; with [`near_cache`](Self::near_cache),
/// `+client|tracking` too.
pub struct RedisStore {
    address: String,
    prefix: String,
    timeout: Duration,
    connections: Connections,
    /// What the server said about itself.
    server: OnceLock<String>,
    create: Script,
    delete: Script,
    update: Script,
    users: Script,
}

impl RedisStore {
    /// The default prefix of all keys: `session:`.
    pub const DEFAULT_PREFIX: &'static str = "session:";

    /// The default deadline of an operation: 2 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

    /// A store that takes its connection from `pool`. `address` tells operators where the server
    /// is, without a password.
    ///
    /// The store has its own deadline, [`timeout`](Self::timeout). redis-rs gives each connection
    /// one too, 500 ms unless the pool was made with another. The shorter one counts.
    #[must_use]
    pub fn new(pool: Pool, address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            prefix: Self::DEFAULT_PREFIX.into(),
            timeout: Self::DEFAULT_TIMEOUT,
            connections: Connections::new(pool),
            server: OnceLock::new(),
            create: Script::new(include_str!("redis/create.lua")),
            delete: Script::new(include_str!("redis/delete.lua")),
            update: Script::new(include_str!("redis/update.lua")),
            users: Script::new(include_str!("redis/users.lua")),
        }
    }

    /// The same store with a near cache: a request by GET or HEAD may see a session as it was up to
    /// `within` ago, without asking the server. What this process stores, it sees at once, and what another
    /// one stores, usually within a millisecond: the server says what changes. If it cannot say so any
    /// more, because the link is frozen or cut, copies count for `within`, and no longer.
    ///
    /// The store connects by itself as `info` says, in the place of its pool: that connection speaks RESP3
    /// and tracks keys. It keeps about 16,000 copies at most, each of a record whose fields take at most 4 KiB of
    /// memory.
    ///
    /// # Errors
    ///
    /// If `info` cannot be used, for instance TLS without its feature.
    pub fn near_cache(self, info: ConnectionInfo, within: Duration) -> Result<Self, Error> {
        let connections = Connections::near(info, NearCache::new(within))?;
        Ok(Self {
            connections,
            ..self
        })
    }

    /// The same store with another prefix of all keys. Default: `session:`.
    ///
    /// Applications and environments that share a server need one each.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        Self { prefix, ..self }
    }

    /// The same store with another deadline for each operation, including waiting for a connection
    /// and connecting. Default: 2 seconds.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Asks whether the server answers. It connects if necessary, so the store knows the server's
    /// time afterwards.
    ///
    /// # Errors
    ///
    /// Why the server does not answer.
    pub async fn ping(&self) -> Result<(), Error> {
        self.read(&redis::cmd("PING")).await.map(drop)
    }

    /// Asks the server what it is: version, cluster or not, master or replica, what it does when it is
    /// full. Answers what of that will lose or refuse sessions, each with what to do; nothing, as a rule.
    /// The store's description says from then on what the server is.
    ///
    /// # Errors
    ///
    /// Why the server does not answer. It needs the permission `+info`.
    pub async fn check(&self) -> Result<Vec<String>, Error> {
        let info = self.read(&redis::cmd("INFO")).await?;
        let info = String::from_redis_value(info).map_err(|_| error::unexpected())?;
        let server = Server::read(&info);
        self.server.get_or_init(|| server.to_string());
        Ok(server.faults())
    }

    fn key(&self, key: Key) -> String {
        // Made at once as large as it becomes.
        let size = self.prefix.len() + key.name.len() + ":".len() + SessionId::TEXT_LEN;
        let mut text = String::with_capacity(size);
        text.push_str(&self.prefix);
        // Writing into a `String` does not fail.
        let _ = write!(text, "{key}");
        text
    }

    /// The answer of a command that changes nothing.
    async fn read(&self, command: &Cmd) -> Result<Value, Error> {
        self.connections
            .run(Call::Read(command), self.timeout)
            .await
    }

    /// Loads a session from the server.
    async fn ask(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        let command = match wanted {
            Wanted::All => redis::cmd("HGETALL").arg(self.key(key)).take(),
            Wanted::Fields(names) => {
                let key = self.key(key);
                // Made at once as large as it becomes.
                let size: usize = names.iter().map(|name| name.len()).sum();
                let size = size + "HMGET".len() + key.len() + METADATA.len();
                let mut command = Cmd::with_capacity(names.len() + 3, size);
                command.arg("HMGET").arg(key).arg(METADATA);
                for name in &**names {
                    command.arg(&**name);
                }
                command
            }
        };
        let reply = match self.read(&command).await {
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
        let remove_at = Timestamp::from_millis(u64::MAX);
        Ok(Some(Arc::new(Record::new(metadata, fields, remove_at))))
    }

    /// Calls a script that changes a session. No copy of the session outlives that.
    async fn write(&self, key: Key, call: &ScriptCall) -> Result<Changed, Error> {
        let near = self.connections.near.as_deref();
        let writing = near.map(|near| near.writing(key, self.timeout));
        let changed = self.change(call).await;
        // What was refused was not done.
        let is_known = !changed.as_ref().is_err_and(Error::is_unknown);
        if let Some(writing) = writing.filter(|_| is_known) {
            writing.answered();
        }
        changed
    }

    /// The answer of a script that changes something, and the words that follow it.
    async fn change(&self, call: &ScriptCall) -> Result<Changed, Error> {
        let reply = self.connections.run(Call::Change(call), self.timeout);
        let words = Vec::<Value>::from_redis_value(reply.await?);
        let mut words = words.map_err(|_| error::unexpected())?.into_iter();
        match (words.next(), words.next()) {
            (Some(Value::Int(answer)), Some(Value::Int(time))) => {
                self.connections
                    .time
                    .heard(u64::try_from(time).unwrap_or_default());
                Ok((answer, words))
            }
            _ => Err(error::unexpected()),
        }
    }
}

/// The number that a script answers, and the words that follow it and the time.
type Changed = (i64, std::vec::IntoIter<Value>);

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
        let Some(near) = self.connections.near.as_deref() else {
            return self.ask(key, wanted).await;
        };
        let ticket = near.ticket(key);
        let record = self.ask(key, wanted).await?;
        near.answered(key, wanted, ticket, record.as_ref());
        Ok(record)
    }

    fn near(&self, key: Key, wanted: &Wanted) -> Option<Arc<Record>> {
        self.connections.near.as_deref()?.get(key, wanted)
    }

    async fn create(&self, key: Key, record: Record) -> Result<Created, Error> {
        if !self.connections.time.is_known() {
            self.ping().await?;
            return Ok(Created::Refused);
        }
        let ttl = millis(record.remove_at.since(self.now()));
        let metadata = record.metadata.pack();
        let mut call = self.create.on(&self.key(key));
        call.command.arg(ttl).arg(METADATA).arg(&metadata);
        for (name, value) in record.fields.iter() {
            call.command.arg(&**name).arg(value);
        }
        let created = self.connections.run(Call::Change(&call), self.timeout);
        match created.await? {
            Value::Int(1) => Ok(Created::Done),
            Value::Int(0) => Ok(Created::Refused),
            _ => Err(error::unexpected()),
        }
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        let mut call = self.update.on(&self.key(key));
        write_update(&mut call.command, update);
        let (answer, mut values) = match self.write(key, &call).await {
            Err(error) if error::is_wrong_type(&error) => return Ok(Updated::Gone),
            changed => changed?,
        };
        match answer {
            0 if update.ends => {
                let (_, fields) = read_all(Value::Array(values.collect()))?;
                Ok(Updated::Done(fields))
            }
            0 => {
                let changes = update.changes.iter();
                let names = changes.filter(|(_, change)| answers(change));
                let answered = names
                    .zip(values)
                    .filter_map(|((name, _), value)| match value {
                        Value::BulkString(value) => Some((name.clone(), value)),
                        _ => None,
                    });
                Ok(Updated::Done(answered.collect()))
            }
            1 => Ok(Updated::Gone),
            2 => Ok(Updated::Late(self.now())),
            3 => Ok(Updated::Conflict),
            4 => {
                let name = values.next().map(String::from_redis_value);
                let name = name.and_then(Result::ok).unwrap_or_default();
                Ok(Updated::Overflow(name.into()))
            }
            _ => Err(error::unexpected()),
        }
    }

    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error> {
        let mut call = self.delete.on(&self.key(key));
        let login = delete.login.map(|login| login.login_bytes().to_vec());
        call.command.arg(delete.not_after.as_millis());
        call.command.arg(login.unwrap_or_default());
        let (answer, _) = match self.write(key, &call).await {
            // What is no session is left alone.
            Err(error) if error::is_wrong_type(&error) => return Ok(Deleted::Done),
            changed => changed?,
        };
        match answer {
            0 => Ok(Deleted::Done),
            1 => Ok(Deleted::Other),
            2 => Ok(Deleted::Late(self.now())),
            _ => Err(error::unexpected()),
        }
    }

    fn now(&self) -> Timestamp {
        self.connections.time.now()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn user_index(&self) -> Option<&dyn UserIndex> {
        Some(self)
    }

    fn describe(&self) -> String {
        let near = self.connections.near.as_deref().map(|near| near.within);
        let near = near.map_or_else(String::new, |within| {
            format!(", a GET may be up to {within:?} behind other processes")
        });
        let server = self.server.get().map_or("Redis", String::as_str);
        format!(
            "{server} at {}, keys `{}*`{near}",
            self.address, self.prefix
        )
    }
}

/// Reads the reply of an HGETALL: the metadata, and all fields of the session.
fn read_all(reply: Value) -> Result<(Option<Vec<u8>>, Fields), Error> {
    let pairs = Vec::<(Vec<u8>, Vec<u8>)>::from_redis_value(reply);
    let pairs = pairs.map_err(|_| error::unexpected())?;
    let mut metadata = None;
    let mut fields = Unsorted::with_capacity(pairs.len());
    for (name, value) in pairs {
        // A name that is not text is not one of ours.
        match String::from_utf8(name) {
            Ok(name) if name == METADATA => metadata = Some(value),
            Ok(name) if is_own(&name) => {}
            Ok(name) => fields.push(Name::from(name), &value),
            Err(_) => {}
        }
    }
    Ok((metadata, fields.sorted()))
}

/// Whether a hash field is the store's own, not the session's.
fn is_own(name: &str) -> bool {
    name.starts_with(METADATA) && !name.starts_with(DEADLINE_PREFIX) && name != PARENT
}

/// Reads the reply of an HMGET of the metadata and of these fields.
fn read_some(names: &[Name], reply: Value) -> Result<(Option<Vec<u8>>, Fields), Error> {
    let Value::Array(values) = reply else {
        return Err(error::unexpected());
    };
    let mut values = values.into_iter();
    let metadata = match values.next() {
        Some(Value::BulkString(metadata)) => Some(metadata),
        Some(Value::Nil) => None,
        _ => return Err(error::unexpected()),
    };
    let mut fields = Unsorted::with_capacity(names.len());
    for (name, value) in names.iter().zip(values) {
        match value {
            Value::BulkString(value) => fields.push(name.clone(), &value),
            Value::Nil => {}
            _ => return Err(error::unexpected()),
        }
    }
    Ok((metadata, fields.sorted()))
}

/// Whether `update.lua` answers a value of this change.
fn answers(change: &Change) -> bool {
    match change {
        Change::Add { .. } | Change::Extreme(..) | Change::Take { .. } => true,
        Change::Set(_) | Change::Unset => false,
    }
}

/// Writes the arguments of `update.lua`.
fn write_update(call: &mut Cmd, update: &Update) {
    call.arg(&update.loaded.to_bytes());
    call.arg(update.not_after.as_millis());
    // Room for a usual call, so that it need not grow.
    let mut reads = Vec::with_capacity(8);
    reads.push(METADATA);
    if let Some(expected) = &update.expected {
        reads.extend(expected.fields.iter().map(|(name, _)| &**name));
    }
    let expired = update.changes.expired().iter();
    reads.extend(expired.map(|expired| &*expired.deadline_name));
    for (name, change) in update.changes.iter() {
        match change {
            Change::Take { aliases } => reads.extend_from_slice(aliases),
            Change::Set(_) | Change::Unset => continue,
            Change::Add { .. } | Change::Extreme(..) => {}
        }
        reads.push(name);
        if let Change::Add { counter, .. } = change {
            reads.extend_from_slice(counter.aliases);
        }
    }
    call.arg(reads.len()).arg(&reads);
    if let Some(lifetime) = &update.loaded_lifetime {
        call.arg("c").arg(Metadata::LIFETIME).arg(lifetime);
    }
    if let Some(expected) = &update.expected {
        for (_, value) in &expected.fields {
            match value {
                Some(value) => call.arg("=").arg(value),
                None => call.arg("0"),
            };
        }
        for (prefix, count) in &expected.counts {
            call.arg("#").arg(prefix).arg(count);
        }
    }
    for expired in update.changes.expired() {
        call.arg("x").arg(&expired.deadline).arg(&*expired.name);
    }
    for (name, change) in update.changes.iter() {
        match change {
            Change::Add {
                delta,
                base,
                counter,
            } => {
                call.arg("+").arg(delta).arg(base);
                call.arg(counter.range.min).arg(counter.range.max);
                call.arg(counter.aliases.len())
            }
            Change::Extreme(Extreme::Max, value) => call.arg(">").arg(value),
            Change::Extreme(Extreme::Min, value) => call.arg("<").arg(value),
            Change::Set(value) => call.arg("s").arg(&**name).arg(value),
            Change::Take { aliases } => call.arg("k").arg(aliases.len()),
            Change::Unset => call.arg("u").arg(&**name),
        };
    }
    write_metadata(call, update);
}

fn write_metadata(call: &mut Cmd, update: &Update) {
    if update.ends {
        call.arg("e");
        return;
    }
    let mut replace = |offset: usize, bytes: &[u8]| {
        call.arg("m").arg(offset).arg(bytes);
    };
    if let Some(rotation) = update.rotation {
        replace(Metadata::DIGESTS, &rotation.digests.to_bytes());
        let at = pack_seconds(Some(rotation.at));
        replace(Metadata::ROTATED, &at);
        if rotation.is_login {
            replace(Metadata::AUTHENTICATED, &at);
        }
    }
    if let (Some(deadline), Some(_)) = (update.absolute_deadline, update.lifetime) {
        replace(Metadata::ABSOLUTE, &pack_millis(deadline));
    }
    if let Some(lifetime) = &update.lifetime {
        let mut metadata = Metadata::default();
        metadata.set_lifetime(lifetime);
        replace(Metadata::LIFETIME, &metadata.pack_lifetime());
    }
    if let (Some(deadline), None) = (update.absolute_deadline, update.lifetime) {
        call.arg("M")
            .arg(Metadata::ABSOLUTE)
            .arg(&pack_millis(deadline))
            .arg(deadline.as_millis());
    }
    if update.touched_at.is_some() || !update.ttl.is_zero() {
        // Never is never later than what is stored.
        let touched_at = update.touched_at.unwrap_or_default();
        call.arg("t")
            .arg(Metadata::TOUCHED)
            .arg(&pack_millis(touched_at));
        call.arg(touched_at.as_millis()).arg(millis(update.ttl));
    }
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.min(MAX_TTL).as_millis()).unwrap_or(u64::MAX)
}
