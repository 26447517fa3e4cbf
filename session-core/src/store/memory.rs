//! A store in memory.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tracing::warn;

use super::{Created, Delete, Deleted, Key, Store, Update, Updated, UserIndex, Wanted};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::error::Error;
use crate::record::Record;
use crate::users::{Mark, Roster, Step, Stepped, UserKey};

/// A store in this process's memory: for development, tests, and a single small process. Its sessions end
/// with the process.
///
/// At capacity, a new session displaces the one that would end first, anonymous sessions before logged-in
/// ones, and logs a warning. Each new session removes the expired ones.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    capacity: usize,
    sessions: Mutex<Sessions>,
    /// Atomic, because every request reads it.
    steps: AtomicU64,
}

impl MemoryStore {
    /// The default capacity: 100,000 sessions.
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
            steps: AtomicU64::new(0),
        }
    }

    /// Sets the capacity in sessions, at least one. Default: 100,000.
    #[must_use]
    pub fn capacity(self, capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            ..self
        }
    }

    /// How many sessions it holds, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().records.len()
    }

    /// Whether it holds no sessions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// No foreign code runs under the lock.
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
        let now = self.now();
        let record = self.lock().records.get(&key).map(Arc::clone);
        Ok(record.filter(|record| !record.is_over(now)))
    }

    async fn create(&self, key: Key, record: Record) -> Result<Created, Error> {
        let now = self.now();
        let mut sessions = self.lock();
        sessions.sweep(now);
        if sessions.records.contains_key(&key) {
            return Ok(Created::Refused);
        }
        if sessions.records.len() >= self.capacity {
            sessions.displace_one(self.capacity);
        }
        sessions.insert(key, Arc::new(record));
        Ok(Created::Done)
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        let now = self.now();
        let mut sessions = self.lock();
        let Sessions { records, order, .. } = &mut *sessions;
        let Some(record) = records.get_mut(&key) else {
            return Ok(Updated::Gone);
        };
        let before = rank(key, record);
        let updated = update.apply_to(Arc::make_mut(record), now);
        let (after, is_over) = (rank(key, record), record.is_over(now));
        if is_over || after != before {
            order.remove(&before);
        }
        if is_over {
            records.remove(&key);
        } else if after != before {
            order.insert(after);
        }
        Ok(updated)
    }

    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error> {
        let now = self.now();
        let mut sessions = self.lock();
        let mut record = sessions.remove(key);
        let deleted = delete.apply_to(&mut record, now);
        if let Some(record) = record {
            sessions.insert(key, record);
        }
        Ok(deleted)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn user_index(&self) -> Option<&dyn UserIndex> {
        Some(self)
    }

    fn describe(&self) -> String {
        format!("memory of this process, at most {} sessions", self.capacity)
    }
}

#[async_trait]
impl UserIndex for MemoryStore {
    fn present(&self) -> Mark {
        Mark::new(self.steps.load(Ordering::SeqCst))
    }

    async fn step(&self, user: UserKey, step: &Step) -> Result<Stepped, Error> {
        let now = self.now();
        let mut sessions = self.lock();
        // Under the lock, so no two steps share a point.
        let present = Mark::new(self.steps.fetch_add(1, Ordering::SeqCst));
        Ok(sessions.step(user, step, now, present))
    }
}

#[derive(Default)]
struct Sessions {
    records: HashMap<Key, Arc<Record>>,
    /// In the order in which they may be displaced.
    order: BTreeSet<Rank>,
    rosters: HashMap<UserKey, Roster>,
    /// When each roster may be forgotten.
    over: BTreeSet<(Timestamp, UserKey)>,
}

/// Anonymous sessions come first, then those that end first.
type Rank = (bool, Timestamp, Key);

fn rank(key: Key, record: &Record) -> Rank {
    let is_somebodys = record.metadata.authenticated_at.is_some();
    (is_somebodys, record.remove_at, key)
}

impl Sessions {
    fn insert(&mut self, key: Key, record: Arc<Record>) {
        self.order.insert(rank(key, &record));
        self.records.insert(key, record);
    }

    fn remove(&mut self, key: Key) -> Option<Arc<Record>> {
        let record = self.records.remove(&key)?;
        self.order.remove(&rank(key, &record));
        Some(record)
    }

    fn sweep(&mut self, now: Timestamp) {
        for is_somebodys in [false, true] {
            let start = (is_somebodys, Timestamp::default(), Key::MIN);
            while let Some(&(first, remove_at, key)) = self.order.range(start..).next() {
                if first != is_somebodys || remove_at > now {
                    break;
                }
                self.remove(key);
            }
        }
    }

    fn step(&mut self, user: UserKey, step: &Step, now: Timestamp, present: Mark) -> Stepped {
        while let Some(&(remove_at, other)) = self.over.first()
            && remove_at <= now
        {
            self.over.pop_first();
            self.rosters.remove(&other);
        }
        let mut roster = self.rosters.remove(&user).unwrap_or_default();
        if let Some(remove_at) = roster.remove_at() {
            self.over.remove(&(remove_at, user));
        }
        let stepped = step.apply_to(&mut roster, now, present);
        if let Some(remove_at) = roster.remove_at() {
            self.over.insert((remove_at, user));
            self.rosters.insert(user, roster);
        }
        stepped
    }

    fn displace_one(&mut self, capacity: usize) {
        let Some(&(identified, _, key)) = self.order.first() else {
            return;
        };
        let whose = if identified { "logged in" } else { "anonymous" };
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
