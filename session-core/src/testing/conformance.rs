//! The executable [contract of stores](crate::store::Store): one function per clause.
//!
//! Add one line to your store's tests, with an `async` function that makes a store for each clause:
//!
//! ```rust
//! use std::sync::Arc;
//!
//! use session_core::store::memory::MemoryStore;
//! use session_core::testing::ManualClock;
//! use session_core::testing::conformance::StoreUnderTest;
//!
//! async fn my_store() -> StoreUnderTest {
//!     let clock = Arc::new(ManualClock::new());
//!     let store = MemoryStore::with_clock(clock.clone()); // here: your store
//!     StoreUnderTest::new(store).clock(clock)
//! }
//!
//! session_core::conformance_tests!(my_store);
//! # session_core::testing::conformance::run(my_store, async |store| {
//! #     session_core::testing::conformance::an_unknown_session_is_absent(store).await;
//! # });
//! ```
//!
//! Each clause becomes a test of its own, on a runtime with several threads. On one thread, a store that
//! reads first and writes later, with no `await` between, would look atomic. The tests need only
//! `session-core` with the feature `testing`.
//!
//! Each clause is named after what must hold, and its description says why. A failing clause says what to do.
//! The stores may share a server, because every clause makes its own sessions.

use std::fmt;
use std::panic;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::ManualClock;
use crate::store::{Key, Store};

mod answers;
mod cancel;
mod conditions;
mod counters;
mod digests;
mod existence;
mod fields;
mod fixture;
mod late;
mod leave;
mod life;
mod list;
mod metadata;
mod near;
mod parallel;
mod restart;
mod take;
#[cfg(test)]
mod tests;
mod unreadable;
mod users;

crate::__for_each_clause! { list::publish }

/// A store that never answers also fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store for one clause, and how its time passes.
pub struct StoreUnderTest {
    store: Arc<dyn Store>,
    clock: Option<Arc<ManualClock>>,
    junk: Vec<Plant>,
    reopen: Option<Reopen>,
}

type Reopen = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Arc<dyn Store>> + Send>> + Send + Sync>;

type Plant = Box<dyn Fn(Key) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

impl StoreUnderTest {
    /// A store in real time: a few clauses wait some seconds. It may already hold sessions, but it needs room
    /// for some hundreds more.
    #[must_use]
    pub fn new(store: impl Store) -> Self {
        Self {
            store: Arc::new(store),
            clock: None,
            junk: Vec::new(),
            reopen: None,
        }
    }

    /// The store takes its time from this clock, so no clause waits.
    #[must_use]
    pub fn clock(self, clock: Arc<ManualClock>) -> Self {
        let clock = Some(clock);
        Self { clock, ..self }
    }

    /// Adds a way to plant under a key what is not a record, as another program or another version of the
    /// store could. You can add several. Without one, the clause about such records tests nothing.
    #[must_use]
    pub fn junk<F>(mut self, plant: impl Fn(Key) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.junk.push(Box::new(move |key| Box::pin(plant(key))));
        self
    }

    /// Adds a way to open the same storage again, as after a crash of the application. Without it, the clauses
    /// about restarts test nothing.
    ///
    /// The old store still exists then, but gets no more calls. Do not close it, or an answer that came before
    /// the write goes unnoticed. If it locks a file, open a copy of the file.
    #[must_use]
    pub fn reopen<F, S>(self, open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = S> + Send + 'static,
        S: Store,
    {
        let reopen: Reopen = Box::new(move || {
            let opened = open();
            Box::pin(async move { Arc::new(opened.await) as Arc<dyn Store> })
        });
        let reopen = Some(reopen);
        Self { reopen, ..self }
    }

    async fn reopened(&self) -> Option<Arc<dyn Store>> {
        Some(self.reopen.as_ref()?().await)
    }

    async fn pass(&self, duration: Duration) {
        match &self.clock {
            Some(clock) => clock.advance(duration),
            None => tokio::time::sleep(duration).await,
        }
    }
}

impl fmt::Debug for StoreUnderTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreUnderTest")
            .field("store", &self.store)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}

/// Runs one clause on a fresh store, on its own runtime with several threads, as
/// [`conformance_tests!`](crate::conformance_tests) does.
///
/// # Panics
///
/// If the clause does not hold.
pub fn run(
    make_store: impl AsyncFnOnce() -> StoreUnderTest,
    clause: impl AsyncFnOnce(&StoreUnderTest),
) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let store = make_store().await;
        let done = tokio::time::timeout(PATIENCE, clause(&store)).await;
        done.expect("a store answers within a deadline of its own");
    });
}

/// Runs all clauses, each on a fresh store, and returns the names of those that do not hold: for stores that
/// are broken on purpose. [`conformance_tests!`](crate::conformance_tests) reports more.
///
/// # Panics
///
/// Outside a tokio runtime.
pub async fn broken_clauses(make_store: impl AsyncFn() -> StoreUnderTest) -> Vec<&'static str> {
    let mut broken = Vec::new();
    for (name, clause) in list::CLAUSES {
        if !holds(make_store().await, *clause).await {
            broken.push(*name);
        }
    }
    broken
}

async fn holds(store: StoreUnderTest, clause: list::ClauseFn) -> bool {
    let clause = tokio::spawn(async move {
        let done = tokio::time::timeout(PATIENCE, clause(&store)).await;
        done.expect("a store answers within a deadline of its own");
    });
    match clause.await {
        Err(error) if error.is_panic() => false,
        Err(error) => panic::resume_unwind(Box::new(error)),
        Ok(()) => true,
    }
}
