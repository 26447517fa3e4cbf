use std::sync::Arc;
use std::time::Duration;

use session_core::clock::Timestamp;
use session_core::error::Error;
use session_core::record::Record;
use session_core::store::redis::RedisStore;
use session_core::store::{
    Created, Delete, Deleted, Key, Store, Update, Updated, UserIndex, Wanted, async_trait,
};

/// A store whose loads ask the near cache first, as those of a GET do.
#[derive(Debug)]
pub(crate) struct NearFirst(RedisStore);

impl NearFirst {
    pub(crate) fn new(store: RedisStore) -> Self {
        Self(store)
    }

    pub(crate) fn store(&self) -> &RedisStore {
        &self.0
    }
}

#[async_trait]
impl Store for NearFirst {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        match Store::near(&self.0, key, wanted) {
            Some(record) => Ok(Some(record)),
            None => self.0.load(key, wanted).await,
        }
    }

    fn near(&self, key: Key, wanted: &Wanted) -> Option<Arc<Record>> {
        Store::near(&self.0, key, wanted)
    }

    async fn create(&self, key: Key, record: Record) -> Result<Created, Error> {
        self.0.create(key, record).await
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        self.0.update(key, update).await
    }

    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error> {
        self.0.delete(key, delete).await
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn timeout(&self) -> Duration {
        Store::timeout(&self.0)
    }

    fn user_index(&self) -> Option<&dyn UserIndex> {
        self.0.user_index()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }
}
