//! A store that lets others come in between each of its calls, and tells the model what was done.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use session_core::error::Error;
use session_core::record::Record;
use session_core::store::{Created, Key, Store, Take, Taken, Update, Updated, Wanted};

use super::reference::{Intent, Reference, Request};
use super::schedule::Turnstile;

/// A store that lets others come in between before and after each call, and tells the reference
/// what was done.
pub(crate) struct Watched {
    inner: Arc<dyn Store>,
    turnstile: Arc<Turnstile>,
    reference: Arc<Mutex<Reference>>,
    /// The number of the request that is under way.
    request: AtomicUsize,
    /// Whether the answer of the next call that changes something is lost.
    loses_answer: AtomicBool,
}

impl Watched {
    pub(crate) fn new(
        inner: &Arc<dyn Store>,
        turnstile: &Arc<Turnstile>,
        reference: &Arc<Mutex<Reference>>,
    ) -> Self {
        Self {
            inner: Arc::clone(inner),
            turnstile: Arc::clone(turnstile),
            reference: Arc::clone(reference),
            request: AtomicUsize::new(0),
            loses_answer: AtomicBool::new(false),
        }
    }

    pub(crate) fn begin_request(&self) {
        let mut reference = self.reference();
        let number = reference.requests.len();
        self.request.store(number, Ordering::Relaxed);
        reference.requests.push(Request::default());
    }

    pub(crate) fn begin_commit(&self, intent: Intent) {
        self.request(|request| {
            request.intent = intent;
            request.outcome = None;
        });
    }

    /// What the model knows of the request that is under way.
    pub(crate) fn request<R>(&self, ask: impl FnOnce(&mut Request) -> R) -> R {
        ask(&mut self.reference().requests[self.number()])
    }

    /// Whether the answer of the next call that changes something is to be lost.
    pub(crate) fn lose_answer(&self, lose: bool) {
        self.loses_answer.store(lose, Ordering::Relaxed);
    }

    fn number(&self) -> usize {
        self.request.load(Ordering::Relaxed)
    }

    fn reference(&self) -> MutexGuard<'_, Reference> {
        self.reference.lock().unwrap()
    }

    async fn answer<A>(&self, answer: Result<A, Error>) -> Result<A, Error> {
        self.turnstile.pass().await;
        match self.loses_answer.swap(false, Ordering::Relaxed) {
            true => Err(Error::timeout("as asked")),
            false => answer,
        }
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

#[rocket::async_trait]
impl Store for Watched {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        self.turnstile.pass().await;
        let answer = self.inner.load(key, wanted).await;
        self.reference().loaded(self.number(), key);
        self.turnstile.pass().await;
        answer
    }

    async fn create(&self, key: Key, record: Record, ttl: Duration) -> Result<Created, Error> {
        self.turnstile.pass().await;
        let digest = record.metadata.digest;
        let answer = self.inner.create(key, record, ttl).await;
        let expected = self.reference().created(self.number(), key, digest);
        assert_eq!(*answer.as_ref().unwrap(), expected);
        self.answer(answer).await
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        self.turnstile.pass().await;
        let answer = self.inner.update(key, update).await;
        let told = answer.as_ref().unwrap();
        self.reference().updated(self.number(), key, update, told);
        self.answer(answer).await
    }

    async fn take(&self, key: Key, take: &Take) -> Result<Taken, Error> {
        self.turnstile.pass().await;
        let answer = self.inner.take(key, take).await;
        let told = answer.as_ref().unwrap();
        self.reference().taken(self.number(), key, told);
        self.turnstile.pass().await;
        answer
    }

    async fn delete(&self, key: Key) -> Result<(), Error> {
        self.turnstile.pass().await;
        let answer = self.inner.delete(key).await;
        self.reference().deleted(self.number(), key);
        self.answer(answer).await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
