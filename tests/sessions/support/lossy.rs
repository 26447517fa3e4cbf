//! A store that lets others go first, and whose answers can get lost.

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

/// What becomes of a call that changes something.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Fate {
    #[default]
    Answered,
    /// It is done this long after its connection broke, or not at all if it comes too late.
    Delayed(Duration),
    /// It never arrives, and nobody hears of that.
    Dropped,
    /// It is done, and the answer gets lost.
    Unheard,
}

/// A store that lets others go first before and after each call, and whose answers can get lost.
pub(crate) struct Lossy {
    inner: Arc<dyn Store>,
    timeout: Duration,
    /// What becomes of the next calls that change something.
    fates: Mutex<VecDeque<Fate>>,
    /// And of all others.
    otherwise: Box<dyn Fn() -> Fate + Send + Sync>,
}

impl Lossy {
    /// A request with a lost answer takes as long as `timeout`.
    pub(crate) fn new(inner: impl Store, timeout: Duration) -> Self {
        Self {
            inner: Arc::new(inner),
            timeout,
            fates: Mutex::default(),
            otherwise: Box::new(Fate::default),
        }
    }

    /// The same store, where this decides of all calls that nothing else was decided of.
    pub(crate) fn otherwise(self, otherwise: impl Fn() -> Fate + Send + Sync + 'static) -> Self {
        let otherwise = Box::new(otherwise);
        Self { otherwise, ..self }
    }

    /// Decides what becomes of the next calls that change something.
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
