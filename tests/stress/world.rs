//! What all tasks share: the store, and the tokens that browsers have.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deadpool_redis::redis::{self, FromRedisValue};
use deadpool_redis::{Config, Pool, Runtime};
use session_core::error::Error;
use session_core::record::Record;
use session_core::store::memory::MemoryStore;
use session_core::store::redis::RedisStore;
use session_core::store::{Created, Key, Store, Take, Taken, Update, Updated, Wanted};
use session_core::token::Token;

use super::options::Options;

pub(crate) struct World {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) repeated: Arc<AtomicU64>,
    jar: Jar,
}

/// The token of each session, by its number, for whoever wants it.
enum Jar {
    Memory(Mutex<BTreeMap<u64, String>>),
    Redis(Pool, String),
}

impl World {
    pub(crate) fn of(options: &Options) -> Self {
        let (inner, jar): (Arc<dyn Store>, _) = match &options.redis {
            None => (Arc::new(MemoryStore::new()), Jar::Memory(Mutex::default())),
            Some(url) => {
                let pool = || {
                    let builder = Config::from_url(url).builder().unwrap();
                    builder.runtime(Runtime::Tokio1).build().unwrap()
                };
                let store = RedisStore::new(pool(), url.as_str());
                let store = store
                    .prefix(&options.prefix)
                    .timeout(Duration::from_secs(20));
                (Arc::new(store), Jar::Redis(pool(), options.prefix.clone()))
            }
        };
        let repeated = Arc::new(AtomicU64::new(0));
        let store = Lossy {
            inner,
            percent: options.lose,
            calls: AtomicU64::new(options.seed),
            repeated: Arc::clone(&repeated),
        };
        Self {
            store: Arc::new(store),
            repeated,
            jar,
        }
    }

    pub(crate) async fn token(&self, number: u64) -> Option<Token> {
        let text: Option<String> = match &self.jar {
            Jar::Memory(tokens) => tokens.lock().unwrap().get(&number).cloned(),
            Jar::Redis(_, prefix) => {
                self.ask(&["HGET", &format!("{prefix}jar"), &number.to_string()])
                    .await
            }
        };
        Token::parse(text?.as_bytes())
    }

    pub(crate) async fn set_token(&self, number: u64, token: &Token) {
        let text = token.expose();
        match &self.jar {
            Jar::Memory(tokens) => drop(tokens.lock().unwrap().insert(number, text)),
            Jar::Redis(_, prefix) => {
                let key = format!("{prefix}jar");
                let _: i64 = self.ask(&["HSET", &key, &number.to_string(), &text]).await;
                let _: i64 = self.ask(&["EXPIRE", &key, "600"]).await;
            }
        }
    }

    /// The keys that never expire.
    pub(crate) async fn immortal(&self) -> Vec<String> {
        let Jar::Redis(_, prefix) = &self.jar else {
            return Vec::new();
        };
        let keys: Vec<String> = self.ask(&["KEYS", &format!("{prefix}*")]).await;
        let mut immortal = Vec::new();
        for key in keys {
            if self.ask::<i64>(&["PTTL", &key]).await == -1 {
                immortal.push(key);
            }
        }
        immortal
    }

    async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let Jar::Redis(pool, _) = &self.jar else {
            unreachable!("there is no server");
        };
        let mut command = redis::cmd(words[0]);
        let mut connection = pool.get().await.unwrap();
        command
            .arg(&words[1..])
            .query_async(&mut connection)
            .await
            .unwrap()
    }
}

/// A store of which some answers are lost, after it has done its work.
struct Lossy {
    inner: Arc<dyn Store>,
    percent: u64,
    calls: AtomicU64,
    repeated: Arc<AtomicU64>,
}

impl Lossy {
    fn answer<A>(&self, answer: Result<A, Error>) -> Result<A, Error> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        if super::worker::mix(call) % 100 < self.percent {
            self.repeated.fetch_add(1, Ordering::Relaxed);
            return Err(Error::timeout("as asked"));
        }
        answer
    }
}

impl fmt::Debug for Lossy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lossy")
    }
}

#[rocket::async_trait]
impl Store for Lossy {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        self.inner.load(key, wanted).await
    }

    async fn create(&self, key: Key, record: Record, ttl: Duration) -> Result<Created, Error> {
        self.answer(self.inner.create(key, record, ttl).await)
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        self.answer(self.inner.update(key, update).await)
    }

    async fn take(&self, key: Key, take: &Take) -> Result<Taken, Error> {
        self.inner.take(key, take).await
    }

    async fn delete(&self, key: Key) -> Result<(), Error> {
        self.answer(self.inner.delete(key).await)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
