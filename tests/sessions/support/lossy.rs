//! A store that lets others go first, and whose answers can get lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use session_core::error::Error;
use session_core::record::Record;
use session_core::store::{Created, Key, Store, Take, Taken, Update, Updated, Wanted};

/// A store that lets others go first before and after each call, and whose answers can get lost.
#[derive(Debug)]
pub(crate) struct Lossy {
    inner: Arc<dyn Store>,
    /// How many answers of calls that change something are lost from now on.
    losses: AtomicUsize,
}

impl Lossy {
    pub(crate) fn new(inner: impl Store) -> Self {
        Self {
            inner: Arc::new(inner),
            losses: AtomicUsize::new(0),
        }
    }

    /// Loses the next answers of calls that change something, so many, after the work is done.
    pub(crate) fn lose(&self, answers: usize) {
        self.losses.store(answers, Ordering::SeqCst);
    }

    async fn answer<A>(&self, answer: Result<A, Error>) -> Result<A, Error> {
        tokio::task::yield_now().await;
        let lost = |losses: usize| losses.checked_sub(1);
        match self
            .losses
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, lost)
        {
            Ok(_) => Err(Error::timeout("as asked")),
            Err(_) => answer,
        }
    }
}

#[rocket::async_trait]
impl Store for Lossy {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        tokio::task::yield_now().await;
        let answer = self.inner.load(key, wanted).await;
        tokio::task::yield_now().await;
        answer
    }

    async fn create(&self, key: Key, record: Record, ttl: Duration) -> Result<Created, Error> {
        tokio::task::yield_now().await;
        self.answer(self.inner.create(key, record, ttl).await).await
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        tokio::task::yield_now().await;
        self.answer(self.inner.update(key, update).await).await
    }

    async fn take(&self, key: Key, take: &Take) -> Result<Taken, Error> {
        tokio::task::yield_now().await;
        self.answer(self.inner.take(key, take).await).await
    }

    async fn delete(&self, key: Key) -> Result<(), Error> {
        tokio::task::yield_now().await;
        self.answer(self.inner.delete(key).await).await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
