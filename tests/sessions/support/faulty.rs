//! A store that fails as often as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use session_core::error::Error;
use session_core::record::Record;
use session_core::store::memory::MemoryStore;
use session_core::store::{Created, Key, Store, Take, Taken, Update, Updated, Wanted};

/// A store in memory, some of whose next calls fail. It counts the calls that read.
#[derive(Debug, Default)]
pub(crate) struct FaultyStore {
    inner: MemoryStore,
    loads: AtomicUsize,
    refused: AtomicUsize,
    lost: AtomicUsize,
    unheard: AtomicUsize,
    down: AtomicUsize,
}

impl FaultyStore {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The next creation fails.
    pub(crate) fn refuse_creation(&self) {
        self.refused.store(1, Ordering::SeqCst);
    }

    /// The next update times out and is not done.
    pub(crate) fn lose_update(&self) {
        self.lost.store(1, Ordering::SeqCst);
    }

    /// The next update is done and times out.
    pub(crate) fn lose_answer(&self) {
        self.unheard.store(1, Ordering::SeqCst);
    }

    /// The next load fails.
    pub(crate) fn refuse_load(&self) {
        self.down.store(1, Ordering::SeqCst);
    }

    /// How many calls there were that read.
    pub(crate) fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

/// Whether there is one more, which is taken.
fn takes_one(left: &AtomicUsize) -> bool {
    let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
    taken.is_ok()
}

#[rocket::async_trait]
impl Store for FaultyStore {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        // As a store at the other end of a wire, so that others get their turn meanwhile.
        tokio::task::yield_now().await;
        if takes_one(&self.down) {
            return Err(Error::store("the test has broken the store"));
        }
        self.inner.load(key, wanted).await
    }

    async fn create(&self, key: Key, record: Record, ttl: Duration) -> Result<Created, Error> {
        if takes_one(&self.refused) {
            return Err(Error::store("the test has broken the store"));
        }
        self.inner.create(key, record, ttl).await
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        if takes_one(&self.lost) {
            return Err(Error::timeout("the test has lost the call"));
        }
        let updated = self.inner.update(key, update).await;
        if takes_one(&self.unheard) {
            return Err(Error::timeout("the test has lost the answer"));
        }
        updated
    }

    async fn take(&self, key: Key, take: &Take) -> Result<Taken, Error> {
        self.inner.take(key, take).await
    }

    async fn delete(&self, key: Key) -> Result<(), Error> {
        self.inner.delete(key).await
    }

    fn describe(&self) -> String {
        "a store that fails as it is told".into()
    }
}
