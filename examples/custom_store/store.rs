//! A complete store, on a map behind a lock.
//!
//! It is small because the library has the rules: [`Update::apply_to`] checks, merges and answers. The store
//! makes that one atomic step, here by holding the lock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::clock::{Clock, SystemClock, Timestamp};
use session_core::error::Error;
use session_core::record::Record;
use session_core::store::{
    Created, Delete, Deleted, Key, Store, Update, Updated, Wanted, async_trait,
};

/// Sessions in a map. They end with the process; a new one removes those that are over. A store for
/// production also needs a bound.
#[derive(Debug)]
pub(crate) struct MapStore {
    /// The only source of time, so tests can move it.
    clock: Arc<dyn Clock>,
    sessions: Mutex<BTreeMap<Key, Record>>,
}

impl MapStore {
    pub(crate) fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    pub(crate) fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let sessions = Mutex::default();
        Self { clock, sessions }
    }

    /// The sessions, and the time under the lock.
    fn lock(&self) -> (MutexGuard<'_, BTreeMap<Key, Record>>, Timestamp) {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        (sessions, self.clock.now())
    }
}

#[async_trait]
impl Store for MapStore {
    async fn load(&self, key: Key, _: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        let (sessions, now) = self.lock();
        let alive = sessions.get(&key).filter(|record| !record.is_over(now));
        Ok(alive.cloned().map(Arc::new))
    }

    async fn create(&self, key: Key, record: Record) -> Result<Created, Error> {
        let (mut sessions, now) = self.lock();
        sessions.retain(|_, record| !record.is_over(now));
        if sessions.contains_key(&key) {
            return Ok(Created::Refused);
        }
        sessions.insert(key, record);
        Ok(Created::Done)
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        let (mut sessions, now) = self.lock();
        Ok(match sessions.get_mut(&key) {
            Some(record) => update.apply_to(record, now),
            None => Updated::Gone,
        })
    }

    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error> {
        let (mut sessions, now) = self.lock();
        let mut record = sessions.remove(&key);
        let deleted = delete.apply_to(&mut record, now);
        sessions.extend(record.map(|record| (key, record)));
        Ok(deleted)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn describe(&self) -> String {
        "a map of this process".into()
    }
}
