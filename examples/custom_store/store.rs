//! A store of one's own: everything that the contract asks for, on a map behind a lock.
//!
//! It is small because the merge rules are the library's: `Changes::apply` says what the fields are
//! after an update, `Update::metadata_after` what the metadata is, `Expected::is_met_by` whether it
//! may be done, and `Recent` whether it was done before. What is left to the store is to do all of it
//! in one step: here, while it holds the lock. In a database, that is a transaction or a script.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rocket::async_trait;
use session_core::clock::{Clock, SystemClock, Timestamp};
use session_core::error::Error;
use session_core::recent::{CommitId, Recent};
use session_core::record::{Name, Record};
use session_core::store::{Created, Key, Store, Take, Taken, Update, Updated, Wanted};
use tokio::sync::RwLock;

/// Sessions in a map. It forgets them with the process, and those that are over whenever a new one
/// comes; it has no bound, which a store for production needs (or a server that has one).
#[derive(Debug)]
pub(crate) struct MapStore {
    /// Whoever reads the time takes it from here, so that tests can move it.
    clock: Arc<dyn Clock>,
    sessions: RwLock<BTreeMap<Key, Stored>>,
}

/// What is kept of a session. All of it ends with the session.
#[derive(Debug)]
struct Stored {
    /// Shared with the requests that have loaded it, and never changed: an update replaces it.
    record: Arc<Record>,
    ends_at: Timestamp,
    /// The updates that were done of late, since each may be sent again.
    recent: Recent,
    /// Which call took which field's value, since that may be sent again, too.
    taken: BTreeMap<Name, (CommitId, Vec<u8>)>,
}

impl MapStore {
    pub(crate) fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    pub(crate) fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let sessions = RwLock::default();
        Self { clock, sessions }
    }
}

#[async_trait]
impl Store for MapStore {
    async fn load(&self, key: Key, _: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        let now = self.clock.now();
        let sessions = self.sessions.read().await;
        let stored = sessions.get(&key).filter(|stored| stored.ends_at > now);
        Ok(stored.map(|stored| Arc::clone(&stored.record)))
    }

    async fn create(&self, key: Key, record: Record, ttl: Duration) -> Result<Created, Error> {
        let now = self.clock.now();
        let mut sessions = self.sessions.write().await;
        sessions.retain(|_, stored| stored.ends_at > now);
        if let Some(stored) = sessions.get(&key) {
            // The same digest: it is the same call, sent again.
            let digest = &stored.record.metadata.digest;
            return Ok(match digest.matches(&record.metadata.digest) {
                true => Created::Done,
                false => Created::Exists,
            });
        }
        let stored = Stored {
            record: Arc::new(record),
            ends_at: now.plus(ttl),
            recent: Recent::default(),
            taken: BTreeMap::new(),
        };
        sessions.insert(key, stored);
        Ok(Created::Done)
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        let now = self.clock.now();
        let mut sessions = self.sessions.write().await;
        let stored = sessions.get_mut(&key);
        let Some(stored) = stored.filter(|stored| stored.ends_at > now) else {
            return Ok(Updated::Gone);
        };
        // First: a rotation that is sent again has changed the epoch itself.
        if let Some(answer) = stored.recent.answer(update.id) {
            return Ok(Updated::Done(answer.clone()));
        }
        let Record {
            metadata, fields, ..
        } = &*stored.record;
        if metadata.epoch != update.epoch {
            return Ok(Updated::Gone);
        }
        let expected = update.expected.as_ref();
        if expected.is_some_and(|expected| !expected.is_met_by(fields)) {
            return Ok(Updated::Conflict);
        }
        // All that can be refused is behind us after this line, and nothing was written before it.
        let mut fields = fields.clone();
        let merged = update.changes.apply(&mut fields)?;
        stored.record = Arc::new(Record::new(update.metadata_after(metadata), fields));
        stored.ends_at = stored.ends_at.max(now.plus(update.ttl));
        if update.must_be_remembered() {
            stored.recent.remember(update.id, merged.clone());
        }
        Ok(Updated::Done(merged))
    }

    async fn take(&self, key: Key, take: &Take) -> Result<Taken, Error> {
        let now = self.clock.now();
        let mut sessions = self.sessions.write().await;
        let stored = sessions.get_mut(&key);
        let Some(stored) = stored.filter(|stored| stored.ends_at > now) else {
            return Ok(Taken::Gone);
        };
        if let Some((id, value)) = stored.taken.get(&take.name)
            && *id == take.id
        {
            return Ok(Taken::Done(Some(value.clone())));
        }
        if stored.record.metadata.epoch != take.epoch {
            return Ok(Taken::Gone);
        }
        let mut record = Record::clone(&stored.record);
        let value = take.names().find_map(|name| record.fields.get(name));
        let value = value.map(<[u8]>::to_vec);
        if let Some(value) = &value {
            take.names().for_each(|name| record.fields.remove(name));
            stored.record = Arc::new(record);
            let taken = (take.id, value.clone());
            stored.taken.insert(take.name.clone(), taken);
        }
        Ok(Taken::Done(value))
    }

    async fn delete(&self, key: Key) -> Result<(), Error> {
        self.sessions.write().await.remove(&key);
        Ok(())
    }

    fn describe(&self) -> String {
        "a map of this process".into()
    }
}
