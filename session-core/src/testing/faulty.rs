use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, oneshot};

use crate::clock::Timestamp;
use crate::error::Error;
use crate::record::Record;
use crate::store::{Created, Delete, Deleted, Key, Store, Update, Updated, UserIndex, Wanted};
use crate::token::SessionId;
use crate::users::{Mark, Step, Stepped, UserKey};

#[cfg(test)]
mod tests;

/// Wraps a store. It records the calls, and makes the n-th call of a verb fail, take longer or wait, before
/// or after it is done.
///
/// Keep a handle on it with an `Arc`, which is also a store:
///
/// ```rust
/// use std::sync::Arc;
///
/// use session_core::store::memory::MemoryStore;
/// use session_core::testing::{Fault, FaultyStore, Moment, Verb};
///
/// let store = Arc::new(FaultyStore::new(MemoryStore::new()));
/// // The next update is done, but its answer is lost.
/// store.on(Verb::Update, 1, Fault::Fail(Moment::After));
/// // `Visit::fairing().store(store.clone())`, a request, and then:
/// assert!(store.calls().is_empty());
/// ```
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    state: Mutex<State>,
}

impl FaultyStore {
    /// Behaves as `inner` until you plan a fault.
    #[must_use]
    pub fn new(inner: impl Store) -> Self {
        Self {
            inner: Arc::new(inner),
            state: Mutex::default(),
        }
    }

    /// Plans a fault for the `nth` call of this verb from now on; 1 is the next call. Several faults for one
    /// call happen in the order in which you planned them.
    pub fn on(&self, verb: Verb, nth: usize, fault: Fault) {
        self.plan(verb, nth, Planned::Fault(fault));
    }

    /// Makes the `nth` call of this verb from now on wait until the test resumes it.
    ///
    /// ```rust
    /// # use session_core::{store::{Delete, Store, Key, memory::MemoryStore}, token::Token};
    /// # use session_core::testing::{FaultyStore, Moment, Verb};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// # let key = Key::new("visit", Token::generate().unwrap().id());
    /// let store = std::sync::Arc::new(FaultyStore::new(MemoryStore::new()));
    /// # let soon = store.now().plus(store.timeout());
    /// let pause = store.pause(Verb::Delete, 1, Moment::After);
    /// let request = tokio::spawn({
    ///     let store = store.clone();
    ///     async move { store.delete(key, &Delete::new(None, soon)).await }
    /// });
    /// pause.reached().await;
    /// // The session is deleted, and its request does not know yet.
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

    /// Holds up the `nth` call of this verb from now on, as a proxy or a frozen kernel would. Its caller
    /// hears at once that the outcome is unknown; the call arrives when the test says so.
    pub fn hold_up(&self, verb: Verb, nth: usize) -> HeldUp {
        let (sender, receiver) = oneshot::channel();
        self.plan(verb, nth, Planned::HoldUp(sender));
        HeldUp(receiver)
    }

    /// The calls so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    fn plan(&self, verb: Verb, nth: usize, planned: Planned) {
        self.state().planned.push((verb, nth, planned));
    }

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

    /// The future is `'static`, so a held-up call can outlive its caller.
    async fn around<T, F>(
        &self,
        verb: Verb,
        key: Key,
        call: impl FnOnce(Arc<dyn Store>) -> F + Send,
    ) -> Result<T, Error>
    where
        T: Send,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let mut planned = self.begin(Call { verb, key });
        let call = call(Arc::clone(&self.inner));
        if let Some(at) = planned.iter().position(Planned::is_hold_up)
            && let Planned::HoldUp(held_up) = planned.swap_remove(at)
        {
            // If the test dropped its handle, the call never arrives.
            let _ = held_up.send(Box::pin(async { drop(call.await) }));
            return Err(Error::unknown("the call was held up, as a test planned"));
        }
        for planned in &planned {
            planned.happen(Moment::Before).await?;
        }
        let answer = call.await;
        for planned in &planned {
            planned.happen(Moment::After).await?;
        }
        answer
    }

    /// No foreign code runs under the lock.
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
        let wanted = wanted.clone();
        let call = |inner: Arc<dyn Store>| async move { inner.load(key, &wanted).await };
        self.around(Verb::Load, key, call).await
    }

    async fn create(&self, key: Key, record: Record) -> Result<Created, Error> {
        let call = |inner: Arc<dyn Store>| async move { inner.create(key, record).await };
        self.around(Verb::Create, key, call).await
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        let update = update.clone();
        let call = |inner: Arc<dyn Store>| async move { inner.update(key, &update).await };
        self.around(Verb::Update, key, call).await
    }

    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error> {
        let delete = *delete;
        let call = |inner: Arc<dyn Store>| async move { inner.delete(key, &delete).await };
        self.around(Verb::Delete, key, call).await
    }

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn timeout(&self) -> Duration {
        self.inner.timeout()
    }

    fn user_index(&self) -> Option<&dyn UserIndex> {
        self.inner.user_index().map(|_| self as &dyn UserIndex)
    }

    fn describe(&self) -> String {
        format!("{}, with faults", self.inner.describe())
    }
}

#[async_trait]
impl UserIndex for FaultyStore {
    fn present(&self) -> Mark {
        let index = self.inner.user_index();
        index.map(UserIndex::present).unwrap_or_default()
    }

    async fn step(&self, user: UserKey, step: &Step) -> Result<Stepped, Error> {
        let step = step.clone();
        let key = Key::new(user.name, step.what.id().unwrap_or(SessionId::MIN));
        let call = |inner: Arc<dyn Store>| async move {
            let index = inner.user_index();
            let index = index.ok_or_else(|| Error::store("the store has no index"))?;
            index.step(user, &step).await
        };
        self.around(Verb::Step, key, call).await
    }
}

/// A call that a [`FaultyStore`] received.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Call {
    /// The verb.
    pub verb: Verb,
    /// The session.
    pub key: Key,
}

/// The verbs of a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the methods of `Store` and `UserIndex`"
)]
pub enum Verb {
    /// [`Store::create`].
    Create,
    /// [`Store::delete`].
    Delete,
    /// [`Store::load`].
    Load,
    /// [`UserIndex::step`]. Its key is that of its session, if it concerns one.
    Step,
    /// [`Store::update`].
    Update,
}

/// What goes wrong with a call to a [`FaultyStore`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The call takes this much longer.
    Delay(Moment, Duration),
    /// The call fails. Before: the store refuses and does nothing. After: it is done but the answer is lost,
    /// so the outcome is unknown to the caller.
    Fail(Moment),
    /// Nothing is done, but the caller hears that the outcome is unknown.
    Lose,
}

/// When a fault happens to a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third side")]
pub enum Moment {
    /// The call is done but not yet answered.
    After,
    /// The call is not done yet.
    Before,
}

/// A handle on a call that waits. Dropping it resumes the call.
#[must_use = "the call does not wait without it"]
#[derive(Debug)]
pub struct Pause(Arc<Gate>);

impl Pause {
    /// Waits until the call has reached its pause.
    pub async fn reached(&self) {
        // The semaphore is never closed.
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

/// A call held up on its way by [`FaultyStore::hold_up`]. If you drop this, the call never arrives.
#[must_use = "the call never arrives without it"]
pub struct HeldUp(oneshot::Receiver<Sent>);

impl HeldUp {
    /// Waits until the call is sent, lets it arrive, and waits until it is done.
    pub async fn arrive(self) {
        if let Ok(call) = self.0.await {
            call.await;
        }
    }
}

impl fmt::Debug for HeldUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldUp")
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
    /// The fault hits the last of this many calls of the verb.
    planned: Vec<(Verb, usize, Planned)>,
}

type Sent = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Planned {
    Fault(Fault),
    HoldUp(oneshot::Sender<Sent>),
    Pause(Moment, Arc<Gate>),
}

impl Planned {
    fn is_hold_up(&self) -> bool {
        matches!(self, Self::HoldUp(_))
    }

    async fn happen(&self, now: Moment) -> Result<(), Error> {
        match self {
            Self::Fault(Fault::Delay(moment, duration)) if *moment == now => {
                tokio::time::sleep(*duration).await;
            }
            Self::Fault(Fault::Fail(moment)) if *moment == now => {
                return Err(match now {
                    Moment::After => Error::unknown("the answer was lost, as a test planned"),
                    Moment::Before => Error::store("the store refused, as a test planned"),
                });
            }
            Self::Fault(Fault::Lose) if now == Moment::Before => {
                return Err(Error::unknown("the call was lost, as a test planned"));
            }
            Self::Pause(moment, gate) if *moment == now => {
                gate.reached.add_permits(1);
                if let Ok(permit) = gate.resumed.acquire().await {
                    drop(permit);
                }
            }
            Self::Fault(_) | Self::HoldUp(_) | Self::Pause(..) => {}
        }
        Ok(())
    }
}
