//! The four verbs of a store, as a read and three scripts.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use deadpool_redis::redis::{FromRedisValue as _, Value};
use tracing::warn;

use super::script::ScriptCall;
use super::servers::{Answer, Request, Skew};
use super::{METADATA, RedisStore, error, wire};
use crate::clock::Timestamp;
use crate::error::Error;
use crate::record::{Metadata, Record};
use crate::store::{Created, Delete, Deleted, Key, Store, Update, Updated, UserIndex, Wanted};
use crate::token::{Digests, SessionId};

/// The scripts hard-code where the digests are.
const _: () = assert!(Metadata::DIGESTS == 1 && Digests::LEN == 32);

impl RedisStore {
    fn key(&self, key: Key) -> String {
        let size = self.prefix.len() + key.name.len() + ":".len() + SessionId::TEXT_LEN;
        let mut text = String::with_capacity(size);
        text.push_str(&self.prefix);
        let _ = write!(text, "{key}");
        text
    }

    /// No copy of `session` outlives the call.
    pub(super) async fn change(
        &self,
        key: &str,
        session: Option<Key>,
        script: &(dyn Fn(Skew) -> ScriptCall + Sync),
    ) -> Result<Changed, Error> {
        let request = Request::Change(script, session);
        let sent_at = std::time::Instant::now();
        let changing = self.servers.run(request, key, self.deadline());
        let Answer { value, shared, .. } = changing.await?;
        let mut words = Vec::<Value>::from_redis_value(value)
            .unwrap_or_default()
            .into_iter();
        let (Some(Value::Int(answer)), Some(Value::Int(time))) = (words.next(), words.next())
        else {
            shared.leave();
            return Err(error::unexpected());
        };
        shared
            .time()
            .heard(u64::try_from(time).unwrap_or_default(), sent_at);
        Ok(Changed {
            answer,
            words,
            // After `heard`, because the answer's time counts.
            skew: self.servers.skew(&shared),
        })
    }
}

pub(super) struct Changed {
    pub(super) answer: i64,
    /// The words after the answer and the time.
    pub(super) words: std::vec::IntoIter<Value>,
    pub(super) skew: Skew,
}

#[async_trait]
impl Store for RedisStore {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        let redis_key = self.key(key);
        let command = wire::load(&redis_key, wanted);
        let request = Request::Read(&command, Some(key));
        let asking = self.servers.run(request, &redis_key, self.deadline());
        let answer = match asking.await {
            Err(error) if error::is_wrong_type(&error) => {
                warn!("session {key}: its key holds something that is not a session");
                return Ok(None);
            }
            answer => answer?,
        };
        let read = wire::read(answer.value, wanted);
        let (metadata, fields) = read.inspect_err(|_| answer.shared.leave())?;
        let record = metadata.and_then(|metadata| {
            let Some(metadata) = Metadata::unpack(&metadata) else {
                warn!("session {key}: its metadata is unreadable; treated as absent");
                return None;
            };
            let remove_at = Timestamp::from_millis(u64::MAX);
            Some(Arc::new(Record::new(metadata, fields, remove_at)))
        });
        if let (Some(near), Some(ticket)) = (answer.shared.near(), answer.ticket) {
            near.answered(key, wanted, ticket, record.as_ref());
        }
        Ok(record)
    }

    fn near(&self, key: Key, wanted: &Wanted) -> Option<Arc<Record>> {
        self.settings.near?;
        let shared = self.servers.near(|| self.key(key))?;
        shared.near()?.get(key, wanted)
    }

    async fn create(&self, key: Key, record: Record) -> Result<Created, Error> {
        let redis_key = self.key(key);
        if !self.servers.is_time_known() {
            self.servers.hear_time(&redis_key, self.deadline()).await?;
            return Ok(Created::Refused);
        }
        let ttl = wire::millis(record.remove_at.since(self.now()));
        let metadata = record.metadata.pack();
        let script = |_| {
            let mut call = self.create.on(&redis_key);
            call.command.arg(ttl).arg(METADATA).arg(&metadata);
            for (name, value) in record.fields.iter() {
                call.command.arg(&**name).arg(value);
            }
            call
        };
        let request = Request::Change(&script, None);
        let creating = self.servers.run(request, &redis_key, self.deadline());
        let answer = creating.await?;
        match answer.value {
            Value::Int(1) => Ok(Created::Done),
            Value::Int(0) => Ok(Created::Refused),
            _ => {
                answer.shared.leave();
                Err(error::unexpected())
            }
        }
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        let redis_key = self.key(key);
        let script = |skew: Skew| {
            let mut call = self.update.on(&redis_key);
            wire::write_update(&mut call.command, update, skew);
            call
        };
        let changed = match self.change(&redis_key, Some(key), &script).await {
            Err(error) if error::is_wrong_type(&error) => return Ok(Updated::Gone),
            changed => changed?,
        };
        let mut values = changed.words;
        match changed.answer {
            0 if update.ends => {
                let (_, fields) = wire::read_all(Value::Array(values.collect()))?;
                Ok(Updated::Done(fields))
            }
            0 => Ok(Updated::Done(wire::answered(update, values))),
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
        let redis_key = self.key(key);
        let login = delete.login.map(|login| login.login_bytes().to_vec());
        let login = login.unwrap_or_default();
        let script = |skew: Skew| {
            let mut call = self.delete.on(&redis_key);
            let not_after = skew.there(delete.not_after);
            call.command.arg(not_after.as_millis()).arg(&login);
            call
        };
        let changed = match self.change(&redis_key, Some(key), &script).await {
            Err(error) if error::is_wrong_type(&error) => return Ok(Deleted::Done),
            changed => changed?,
        };
        match changed.answer {
            0 => Ok(Deleted::Done),
            1 => Ok(Deleted::Other),
            2 => Ok(Deleted::Late(self.now())),
            _ => Err(error::unexpected()),
        }
    }

    fn now(&self) -> Timestamp {
        self.servers.now()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn user_index(&self) -> Option<&dyn UserIndex> {
        Some(self)
    }

    fn describe(&self) -> String {
        let near = self.settings.near.map_or_else(String::new, |within| {
            format!(", a GET may be up to {within:?} behind other processes")
        });
        let waits = match self.settings.wait_replicas {
            0 => String::new(),
            replicas => format!(", each change on {replicas} replicas"),
        };
        let server = self.server.get().map_or("Redis", String::as_str);
        let address = self.servers.address();
        format!(
            "{server} at {address}, keys `{}*`{near}{waits}",
            self.prefix
        )
    }
}
