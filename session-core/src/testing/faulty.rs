//! A store that fails, tarries or waits where a test tells it to.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::error::Error;
use crate::record::Record;
use crate::store::{Created, Key, Store, Take, Taken, Update, Updated, Wanted};

#[cfg(test)]
mod tests;

/// A store around a store: it records the calls, and the n-th call of a verb fails, tarries or waits,
/// before it is done or after it.
///
/// Keep a handle on it by an `Arc`, which is a store too:
///
/// ```rust
/// use std::sync::Arc;
///
/// use session_core::store::memory::MemoryStore;
/// use session_core::testing::{Fault, FaultyStore, Moment, Verb};
///
/// let store = Arc::new(FaultyStore::new(MemoryStore::new()));
/// // The next update is done, but nobody hears of it.
/// store.on(Verb::Update, 1, Fault::Fail(Moment::After));
/// // `Visit::fairing().store(store.clone())`, a request, and then:
/// assert!(store.calls().is_empty());
/// ```
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    state: Mutex<State>,
}

impl FaultyStore {
    /// A store that does what `inner` does, until it is told otherwise.
    #[must_use]
    pub fn new(inner: impl Store) -> Self {
        Self {
            inner: Arc::new(inner),
            state: Mutex::default(),
        }
    }

    /// Plans what becomes of the `nth` call of this verb from now on; the next one is the first. For
    /// one call several faults can be planned: they happen in this order.
    pub fn on(&self, verb: Verb, nth: usize, fault: Fault) {
        self.plan(verb, nth, Planned::Fault(fault));
    }

    /// Plans that the `nth` call of this verb from now on waits, until the test lets it go on.
    ///
    /// ```rust
    /// # use session_core::{store::{Store, Key, memory::MemoryStore}, token::Token};
    /// # use session_core::testing::{FaultyStore, Moment, Verb};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let key = Key::new("visit", Token::generate().unwrap().id());
    /// let store = std::sync::Arc::new(FaultyStore::new(MemoryStore::new()));
    /// let pause = store.pause(Verb::Delete, 1, Moment::After);
    /// let request = tokio::spawn({
    ///     let store = store.clone();
    ///     async move { store.delete(key).await }
    /// });
    /// pause.reached().await;
    /// // The session is deleted, and whoever asked for it does not know yet.
    /// pause.resume();
    /// assert!(request.await.unwrap().is_ok());
    /// # }
    /// ```
    pub fn pause(&self, verb: Verb, nth: usize, moment: Moment) -> Pause {
        let gate = Arc::new(Gate {
            reached: Semaphore::new(0),
            resumed: Semaphore::new(0),
        });
        self.plan(verb, nth, Planned::Pause(moment, Arc::clone(&gate)));
        Pause(gate)
    }

    /// The calls so far, in the order in which they came.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn plan(&self, verb: Verb, nth: usize, planned: Planned) {
        self.state().planned.push((verb, nth, planned));
    }

    /// Records a call, and tells what was planned for it.
    fn begin(&self, call: Call) -> Vec<Planned> {
        let mut state = self.state();
        let verb = call.verb;
        state.calls.push(call);
        for (_, left, _) in state.planned.iter_mut().filter(|(of, ..)| *of == verb) {
            *left = left.saturating_sub(1);
        }
        let planned = std::mem::take(&mut state.planned);
        let (due, later) = planned
            .into_iter()
            .partition(|(of, left, _)| *of == verb && *left == 0);
        state.planned = later;
        let due: Vec<_> = due;
        due.into_iter().map(|(.., planned)| planned).collect()
    }

    async fn around<T>(
        &self,
        verb: Verb,
        key: Key,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let planned = self.begin(Call { verb, key });
        for planned in &planned {
            planned.happen(Moment::Before).await?;
        }
        let answer = call.await;
        for planned in &planned {
            planned.happen(Moment::After).await?;
        }
        answer
    }

    /// No code of others runs while the lock is held.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore")
            .field("inner", &self.inner)
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        self.around(Verb::Load, key, self.inner.load(key, wanted))
            .await
    }

    async fn create(&self, key: Key, record: Record, ttl: Duration) -> Result<Created, Error> {
        self.around(Verb::Create, key, self.inner.create(key, record, ttl))
            .await
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        self.around(Verb::Update, key, self.inner.update(key, update))
            .await
    }

    async fn take(&self, key: Key, take: &Take) -> Result<Taken, Error> {
        self.around(Verb::Take, key, self.inner.take(key, take))
            .await
    }

    async fn delete(&self, key: Key) -> Result<(), Error> {
        self.around(Verb::Delete, key, self.inner.delete(key)).await
    }

    fn describe(&self) -> String {
        format!("{}, with faults", self.inner.describe())
    }
}

/// A call that a [`FaultyStore`] received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Call {
    /// What was called.
    pub verb: Verb,
    /// For which session.
    pub key: Key,
}

/// What a store can be asked to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the methods of `Store`")]
pub enum Verb {
    /// [`Store::create`].
    Create,
    /// [`Store::delete`].
    Delete,
    /// [`Store::load`].
    Load,
    /// [`Store::take`].
    Take,
    /// [`Store::update`].
    Update,
}

/// What becomes of a call to a [`FaultyStore`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// It takes so much longer.
    Delay(Moment, Duration),
    /// It fails. Before: the store refuses, and nothing is done. After: it is done, but the answer is
    /// lost, which the caller hears as a time-out.
    Fail(Moment),
}

/// When something happens to a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third side")]
pub enum Moment {
    /// It is done, and not answered yet.
    After,
    /// It is not done yet.
    Before,
}

/// A handle on a call that waits. When it is dropped, the call goes on: a test that fails leaves
/// nobody waiting.
#[must_use = "the call does not wait without it"]
#[derive(Debug)]
pub struct Pause(Arc<Gate>);

impl Pause {
    /// Waits until the call has come to where it is to wait.
    pub async fn reached(&self) {
        // Nobody closes it.
        if let Ok(permit) = self.0.reached.acquire().await {
            drop(permit);
        }
    }

    /// Lets the call go on.
    pub fn resume(self) {}
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.resumed.add_permits(1);
    }
}

#[derive(Debug)]
struct Gate {
    reached: Semaphore,
    resumed: Semaphore,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    /// How many calls of a verb are left until something happens: to the last of them.
    planned: Vec<(Verb, usize, Planned)>,
}

enum Planned {
    Fault(Fault),
    Pause(Moment, Arc<Gate>),
}

impl Planned {
    async fn happen(&self, now: Moment) -> Result<(), Error> {
        match self {
            Self::Fault(Fault::Delay(moment, duration)) if *moment == now => {
                tokio::time::sleep(*duration).await;
            }
            Self::Fault(Fault::Fail(moment)) if *moment == now => {
                return Err(match now {
                    Moment::After => Error::timeout("the answer was lost, as a test planned"),
                    Moment::Before => Error::store("the store refused, as a test planned"),
                });
            }
            Self::Pause(moment, gate) if *moment == now => {
                gate.reached.add_permits(1);
                // Nobody closes it.
                if let Ok(permit) = gate.resumed.acquire().await {
                    drop(permit);
                }
            }
            Self::Fault(_) | Self::Pause(..) => {}
        }
        Ok(())
    }
}
