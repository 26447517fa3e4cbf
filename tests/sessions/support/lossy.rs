//! A store that yields before and after each call, and can lose answers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use session_core::clock::Timestamp;
use session_core::error::Error;
use session_core::record::Record;
use session_core::store::{
    Created, Delete, Deleted, Key, Store, Update, Updated, Wanted, async_trait,
};

/// The fate of a write. The outcome is unknown to the caller, except for `Answered`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Fate {
    #[default]
    Answered,
    /// It is done this long after its connection broke, or not at all if it comes too late.
    Delayed(Duration),
    /// It never arrives.
    Dropped,
    /// It is done, but the answer is lost.
    Unheard,
}

pub(crate) struct Lossy {
    inner: Arc<dyn Store>,
    timeout: Duration,
    fates: Mutex<VecDeque<Fate>>,
    /// For writes without a planned fate.
    otherwise: Box<dyn Fn() -> Fate + Send + Sync>,
}

impl Lossy {
    pub(crate) fn new(inner: impl Store, timeout: Duration) -> Self {
        Self {
            inner: Arc::new(inner),
            timeout,
            fates: Mutex::default(),
            otherwise: Box::new(Fate::default),
        }
    }

    /// Decides the fate of each write without a planned one.
    pub(crate) fn otherwise(self, otherwise: impl Fn() -> Fate + Send + Sync + 'static) -> Self {
        let otherwise = Box::new(otherwise);
        Self { otherwise, ..self }
    }

    /// Plans the fates of the next writes.
    pub(crate) fn decide(&self, fates: impl IntoIterator<Item = Fate>) {
        *self.fates.lock().unwrap() = fates.into_iter().collect();
    }

    async fn change<A: Send + 'static>(
        &self,
        call: impl Future<Output = Result<A, Error>> + Send + 'static,
    ) -> Result<A, Error> {
        let fate = self.fates.lock().unwrap().pop_front();
        let fate = fate.unwrap_or_else(&self.otherwise);
        tokio::task::yield_now().await;
        let answer = match fate {
            Fate::Answered => call.await,
            Fate::Delayed(delay) => {
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    call.await
                });
                Err(Error::unknown("the connection broke, as a test planned"))
            }
            Fate::Dropped => Err(Error::unknown("it never arrived, as a test planned")),
            Fate::Unheard => {
                let unheard = Error::unknown("the answer got lost, as a test planned");
                call.await.and(Err(unheard))
            }
        };
        tokio::task::yield_now().await;
        answer
    }
}

impl fmt::Debug for Lossy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lossy")
    }
}

#[async_trait]
impl Store for Lossy {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        tokio::task::yield_now().await;
        let answer = self.inner.load(key, wanted).await;
        tokio::task::yield_now().await;
        answer
    }

    fn near(&self, key: Key, wanted: &Wanted) -> Option<Arc<Record>> {
        self.inner.near(key, wanted)
    }

    async fn create(&self, key: Key, record: Record) -> Result<Created, Error> {
        let inner = Arc::clone(&self.inner);
        let call = async move { inner.create(key, record).await };
        self.change(call).await
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        let (inner, update) = (Arc::clone(&self.inner), update.clone());
        let call = async move { inner.update(key, &update).await };
        self.change(call).await
    }

    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error> {
        let inner = Arc::clone(&self.inner);
        let delete = *delete;
        let call = async move { inner.delete(key, &delete).await };
        self.change(call).await
    }

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn timeout(&self) -> Duration {
        self.timeout
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
