//! A store in this process's memory: for development, tests, and a single small process.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use log::warn;

use super::{Created, Key, Store, Take, Taken, Update, Updated, Wanted};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::Error;
use crate::recent::{CommitId, Recent};
use crate::record::{Name, Record};

/// A store in this process's memory. Its sessions end with the process, and no other process sees
/// them.
///
/// It is bounded: at its capacity, a new session displaces the one that would end first, anonymous
/// ones before those with an identity, and a warning is logged. It needs no background task: what
/// is over makes room when something is created.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    capacity: usize,
    sessions: Mutex<Sessions>,
}

impl MemoryStore {
    /// How many sessions a store holds unless it is told otherwise.
    pub const DEFAULT_CAPACITY: usize = 100_000;

    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store that takes the time from `clock`.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            capacity: Self::DEFAULT_CAPACITY,
            sessions: Mutex::default(),
        }
    }

    /// The same store with room for this many sessions, at least one. Default: 100,000.
    #[must_use]
    pub fn capacity(self, capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            ..self
        }
    }

    /// How many sessions it holds, those included that are over and were not displaced yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    /// Whether it holds no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No code of others runs while the lock is held, so what a panic left is whole.
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("capacity", &self.capacity)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self, key: Key, _: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        let now = self.clock.now();
        let sessions = self.lock();
        let entry = sessions
            .entries
            .get(&key)
            .filter(|entry| entry.removable_at > now);
        Ok(entry.map(|entry| Arc::clone(&entry.record)))
    }

    async fn create(&self, key: Key, record: Record, ttl: Duration) -> Result<Created, Error> {
        let now = self.clock.now();
        let mut sessions = self.lock();
        sessions.sweep(now);
        if let Some(entry) = sessions.entries.get(&key) {
            // Sent twice, or another session's: two of them never have one digest.
            let digest = &entry.record.metadata.digest;
            return Ok(if digest.matches(&record.metadata.digest) {
                Created::Done
            } else {
                Created::Exists
            });
        }
        if sessions.entries.len() >= self.capacity {
            sessions.displace_one(self.capacity);
        }
        let entry = Entry {
            record: Arc::new(record),
            recent: Recent::default(),
            taken: HashMap::new(),
            removable_at: now.plus(ttl),
        };
        sessions.insert(key, entry);
        Ok(Created::Done)
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        let now = self.clock.now();
        let mut sessions = self.lock();
        let entry = sessions
            .entries
            .get(&key)
            .filter(|entry| entry.removable_at > now);
        let Some(entry) = entry else {
            return Ok(Updated::Gone);
        };
        let record = &entry.record;
        if let Some(answer) = entry.recent.answer(update.id) {
            return Ok(Updated::Done(answer.clone()));
        }
        if record.metadata.epoch != update.epoch {
            return Ok(Updated::Gone);
        }
        let expected = update.expected.as_ref();
        if expected.is_some_and(|expected| !expected.is_met_by(&record.fields)) {
            return Ok(Updated::Conflict);
        }
        let mut fields = record.fields.clone();
        let merged = update.changes.apply(&mut fields)?;
        let metadata = update.metadata_after(&record.metadata);
        // Out and in again, since its place in the order may be another one.
        if let Some(mut entry) = sessions.remove(key) {
            entry.record = Arc::new(Record::new(metadata, fields));
            if update.changes.resets() {
                entry.recent = Recent::default();
                entry.taken.clear();
            }
            if update.must_be_remembered() {
                entry.recent.remember(update.id, merged.clone());
            }
            entry.removable_at = entry.removable_at.max(now.plus(update.ttl));
            sessions.insert(key, entry);
        }
        Ok(Updated::Done(merged))
    }

    async fn take(&self, key: Key, take: &Take) -> Result<Taken, Error> {
        let now = self.clock.now();
        let mut sessions = self.lock();
        let entry = sessions.entries.get_mut(&key);
        let Some(entry) = entry.filter(|entry| entry.removable_at > now) else {
            return Ok(Taken::Gone);
        };
        if let Some((id, value)) = entry.taken.get(&take.name)
            && *id == take.id
        {
            return Ok(Taken::Done(Some(value.clone())));
        }
        if entry.record.metadata.epoch != take.epoch {
            return Ok(Taken::Gone);
        }
        let found = take.names().find_map(|name| entry.record.fields.get(name));
        let Some(value) = found.map(<[u8]>::to_vec) else {
            return Ok(Taken::Done(None));
        };
        let record = Arc::make_mut(&mut entry.record);
        take.names().for_each(|name| record.fields.remove(name));
        entry
            .taken
            .insert(take.name.clone(), (take.id, value.clone()));
        Ok(Taken::Done(Some(value)))
    }

    async fn delete(&self, key: Key) -> Result<(), Error> {
        self.lock().remove(key);
        Ok(())
    }

    fn describe(&self) -> String {
        format!("memory of this process, at most {} sessions", self.capacity)
    }
}

#[derive(Default)]
struct Sessions {
    entries: HashMap<Key, Entry>,
    /// The entries in the order in which they may be displaced.
    order: BTreeSet<Rank>,
}

struct Entry {
    record: Arc<Record>,
    recent: Recent,
    /// Which call obtained the last value of a field, and what it was.
    taken: HashMap<Name, (CommitId, Vec<u8>)>,
    removable_at: Timestamp,
}

/// Anonymous sessions come first, then what ends first.
type Rank = (bool, Timestamp, Key);

impl Entry {
    fn rank(&self, key: Key) -> Rank {
        (self.record.metadata.identified, self.removable_at, key)
    }
}

impl Sessions {
    fn insert(&mut self, key: Key, entry: Entry) {
        self.order.insert(entry.rank(key));
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = self.entries.remove(&key)?;
        self.order.remove(&entry.rank(key));
        Some(entry)
    }

    /// Removes what is over, anonymous and identified sessions alike.
    fn sweep(&mut self, now: Timestamp) {
        for identified in [false, true] {
            let start = (identified, Timestamp::default(), Key::MIN);
            while let Some(&(first, removable_at, key)) = self.order.range(start..).next() {
                if first != identified || removable_at > now {
                    break;
                }
                self.remove(key);
            }
        }
    }

    fn displace_one(&mut self, capacity: usize) {
        let Some(&(identified, _, key)) = self.order.first() else {
            return;
        };
        let whose = if identified {
            "of somebody logged in"
        } else {
            "anonymous"
        };
        warn!(
            "the memory store is full ({capacity} sessions): session {key}, {whose}, was displaced; \
             use Redis, or give it more capacity"
        );
        self.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ManualClock;
    use crate::testing::conformance::StoreUnderTest;

    async fn store() -> StoreUnderTest {
        let clock = Arc::new(ManualClock::new());
        StoreUnderTest::new(MemoryStore::with_clock(clock.clone())).clock(clock)
    }

    crate::conformance_tests!(store);
}
