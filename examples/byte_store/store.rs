use std::sync::Arc;

use session_core::clock::{Clock, Timestamp};
use session_core::error::Error;
use session_core::record::Record;
use session_core::store::{Created, Delete, Deleted, Key, Store, Update, Updated, Wanted};

use crate::service::Service;

/// Sessions in a key-value service. If the service has an expiry, set it from `Record::remove_at`.
#[derive(Debug)]
pub(crate) struct ByteStore {
    pub(crate) service: Arc<Service>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl ByteStore {
    /// One atomic step: gets, changes and swaps, and retries if the bytes changed meanwhile.
    async fn step<A, F>(&self, key: Key, change: F) -> Result<A, Error>
    where
        F: Fn(&mut Option<Vec<u8>>) -> A,
    {
        loop {
            let before = self.service.get(key).await;
            let mut after = before.clone();
            let answer = change(&mut after);
            if before == after || self.service.swap(key, before, after).await {
                return Ok(answer);
            }
        }
    }
}

#[session_core::store::async_trait]
impl Store for ByteStore {
    async fn load(&self, key: Key, _: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        let bytes = self.service.get(key).await.unwrap_or_default();
        let alive = Record::from_bytes(&bytes).filter(|record| !record.is_over(self.now()));
        Ok(alive.map(Arc::new))
    }

    async fn create(&self, key: Key, record: Record) -> Result<Created, Error> {
        self.step(key, |bytes| record.create_in(bytes, self.now()))
            .await
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        self.step(key, |bytes| update.apply_to_bytes(bytes, self.now()))
            .await
    }

    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error> {
        self.step(key, |bytes| delete.apply_to_bytes(bytes, self.now()))
            .await
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn describe(&self) -> String {
        "a key-value service".into()
    }
}
