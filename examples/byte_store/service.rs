//! A stand-in for a key-value service. Each call is a round trip.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use session_core::store::Key;

#[derive(Debug, Default)]
pub(crate) struct Service(Mutex<BTreeMap<Key, Vec<u8>>>);

impl Service {
    pub(crate) async fn get(&self, key: Key) -> Option<Vec<u8>> {
        tokio::task::yield_now().await;
        self.lock().get(&key).cloned()
    }

    /// Stores `after` (`None` removes the key) if `before` is still stored. Returns whether it was.
    pub(crate) async fn swap(
        &self,
        key: Key,
        before: Option<Vec<u8>>,
        after: Option<Vec<u8>>,
    ) -> bool {
        tokio::task::yield_now().await;
        let mut stored = self.lock();
        let is_the_same = stored.get(&key) == before.as_ref();
        if is_the_same {
            match after {
                Some(after) => stored.insert(key, after),
                None => stored.remove(&key),
            };
        }
        is_the_same
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
