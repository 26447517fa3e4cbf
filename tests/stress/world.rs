use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use deadpool_redis::redis::{self, FromRedisValue};
use deadpool_redis::{Config, Pool, Runtime};
use session_core::store::Store;
use session_core::store::memory::MemoryStore;
use session_core::store::redis::RedisStore;
use session_core::token::Token;

use super::options::Options;
use super::support::lossy::{Fate, Lossy};
use super::worker::mix;

/// How long a request waits for a lost answer.
const TIMEOUT: Duration = Duration::from_millis(400);

/// How old the copies are, at most, that a GET sees in a process with a near cache.
pub(crate) const NEAR: Duration = Duration::from_secs(1);

pub(crate) struct World {
    /// The lossy store.
    pub(crate) store: Arc<dyn Store>,
    /// The store inside it.
    pub(crate) inner: Arc<dyn Store>,
    jar: Jar,
}

/// The token of each session, by number.
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
                let store = RedisStore::new(url.as_str()).unwrap();
                let store = store
                    .prefix(&options.prefix)
                    .timeout(Duration::from_secs(20));
                let store = match options.has_near_cache() {
                    true => store.near_cache(NEAR),
                    false => store,
                };
                (Arc::new(store), Jar::Redis(pool(), options.prefix.clone()))
            }
        };
        let (percent, calls) = (options.lose, AtomicU64::new(options.seed));
        // Of the lost calls, a third never arrives, a third is done, and a third comes later, perhaps too
        // late.
        let fate = move || {
            let number = mix(calls.fetch_add(1, Ordering::Relaxed));
            match number % 300 {
                of if of >= 3 * percent => Fate::Answered,
                of if of % 3 == 0 => Fate::Dropped,
                of if of % 3 == 1 => Fate::Unheard,
                _ => Fate::Delayed(TIMEOUT * (number >> 32 & 7) as u32 / 4),
            }
        };
        let store = Lossy::new(Arc::clone(&inner), TIMEOUT).otherwise(fate);
        Self {
            store: Arc::new(store),
            inner,
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

    pub(crate) async fn set_token(&self, number: u64, token: Option<&Token>) {
        let text = token.map(Token::expose).unwrap_or_default();
        match &self.jar {
            Jar::Memory(tokens) => drop(tokens.lock().unwrap().insert(number, text)),
            Jar::Redis(_, prefix) => {
                let key = format!("{prefix}jar");
                let _: i64 = self.ask(&["HSET", &key, &number.to_string(), &text]).await;
                let _: i64 = self.ask(&["EXPIRE", &key, "600"]).await;
            }
        }
    }

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
