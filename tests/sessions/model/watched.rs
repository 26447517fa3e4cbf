use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use session_core::clock::{Clock, Timestamp};
use session_core::error::Error;
use session_core::record::Record;
use session_core::store::{Created, Delete, Deleted, Key, Store, Update, Updated, Wanted};

use super::reference::{Call, Intent, Reference};
use super::schedule::{pass, request};
use crate::support::lossy::Fate;

/// A store that lets others run before and after each call, and tells the reference what was done.
pub(crate) struct Watched {
    pub(crate) inner: Arc<dyn Store>,
    /// The application's.
    clock: Arc<dyn Clock>,
    reference: Mutex<Reference>,
    delayed: Mutex<Vec<(usize, Intent, Call)>>,
}

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Created(Created),
    Deleted(Deleted),
    Updated(Updated),
}

impl Watched {
    pub(crate) fn new(inner: impl Store, clock: impl Clock) -> Self {
        Self {
            inner: Arc::new(inner),
            clock: Arc::new(clock),
            reference: Mutex::default(),
            delayed: Mutex::default(),
        }
    }

    pub(crate) fn reference(&self) -> MutexGuard<'_, Reference> {
        self.reference
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn reset(&self) {
        *self.reference() = Reference::default();
        self.delayed.lock().unwrap().clear();
    }

    pub(crate) async fn do_delayed(&self) {
        let delayed = self.delayed.lock().unwrap().pop();
        if let Some((request, intent, call)) = delayed {
            self.carry_out(request, &intent, call, true).await;
        }
    }

    pub(crate) async fn do_all_delayed(&self) {
        while !self.delayed.lock().unwrap().is_empty() {
            self.do_delayed().await;
        }
    }

    async fn carry_out(
        &self,
        request: usize,
        intent: &Intent,
        call: Call,
        is_delayed: bool,
    ) -> Answer {
        let answer = match call.clone() {
            Call::Create(key, record) => {
                Answer::Created(self.inner.create(key, *record).await.unwrap())
            }
            Call::Delete(key, delete) => {
                Answer::Deleted(self.inner.delete(key, &delete).await.unwrap())
            }
            Call::Update(key, update) => {
                Answer::Updated(self.inner.update(key, &update).await.unwrap())
            }
        };
        let mut reference = self.reference();
        reference.done(request, intent, &call, &answer, is_delayed);
        answer
    }

    async fn change(&self, call: Call) -> Result<Answer, Error> {
        let request = request();
        let (fate, intent) = self.reference().asked(request);
        pass().await;
        let mut answer = None;
        match fate {
            Fate::Answered | Fate::Unheard => {
                let done = self.carry_out(request, &intent, call.clone(), false).await;
                answer = Some(done).filter(|_| fate == Fate::Answered);
            }
            Fate::Delayed(_) => {
                let delayed = (request, intent.clone(), call.clone());
                self.delayed.lock().unwrap().push(delayed);
            }
            Fate::Dropped => {}
        }
        pass().await;
        let answer = answer.ok_or_else(|| Error::unknown("as a test planned"))?;
        self.reference().heard(request, &intent, &call, &answer);
        Ok(answer)
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
        self.reference().requests[request()].is_unread = true;
        pass().await;
        let answer = self.inner.load(key, wanted).await;
        let found = self.reference().find(key);
        pass().await;
        let now = self.clock.now();
        let mut reference = self.reference();
        reference.loaded(request(), key, found, now);
        reference.requests[request()].is_unread = false;
        drop(reference);
        answer
    }

    async fn create(&self, key: Key, record: Record) -> Result<Created, Error> {
        match self.change(Call::Create(key, Box::new(record))).await? {
            Answer::Created(created) => Ok(created),
            answer => unreachable!("{answer:?}"),
        }
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        match self
            .change(Call::Update(key, Box::new(update.clone())))
            .await?
        {
            Answer::Updated(updated) => Ok(updated),
            answer => unreachable!("{answer:?}"),
        }
    }

    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error> {
        match self.change(Call::Delete(key, *delete)).await? {
            Answer::Deleted(deleted) => Ok(deleted),
            answer => unreachable!("{answer:?}"),
        }
    }

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn timeout(&self) -> Duration {
        self.inner.timeout()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
