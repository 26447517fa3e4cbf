//! The contract of stores, on a real Redis.

use std::sync::LazyLock;
use std::time::Duration;

use session_core::expiry::Lifetime;
use session_core::fields::Fields;
use session_core::record::{Metadata, Record};
use session_core::store::redis::RedisStore;
use session_core::store::{Key, Store as _, Update, Updated, Wanted};
use session_core::testing::conformance::StoreUnderTest;
use session_core::token::Token;

use crate::support::redis::RedisServer;

const HOUR: Duration = Duration::from_secs(3600);

/// One server for all clauses: each makes its own sessions.
static SERVER: LazyLock<RedisServer> = LazyLock::new(RedisServer::start);

/// Each test has its own runtime, so the store is not shared.
pub(crate) async fn redis_store() -> RedisStore {
    let store = SERVER.store();
    // Hears the server's time.
    store.ping().await.unwrap();
    store
}

/// With junk under a session's key: a text, a hash without metadata, and hashes with invalid metadata.
async fn under_test() -> StoreUnderTest {
    let store = StoreUnderTest::new(redis_store().await).reopen(redis_store);
    let metadata_of_version_0 = "\0".repeat(64);
    [
        vec!["SET", "junk"],
        vec!["HSET", "views", "1"],
        vec!["HSET", "@", "junk"],
        vec!["HSET", "@", &metadata_of_version_0],
    ]
    .into_iter()
    .fold(store, |store, words| {
        let words: Vec<String> = words.into_iter().map(String::from).collect();
        store.junk(move |key| {
            let mut words = words.clone();
            words.insert(1, format!("{}{key}", RedisStore::DEFAULT_PREFIX));
            async move {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                SERVER.command::<()>(&words);
            }
        })
    })
}

session_core::conformance_tests!(under_test);

/// Older builds wrote shorter metadata; an update completes them.
#[tokio::test]
async fn metadata_of_an_older_form_grow() {
    let (store, token) = (redis_store().await, Token::generate().unwrap());
    let key = Key::new("conformance", token.id());
    let mut before = Metadata::created_now(store.now(), HOUR);
    before.digests = token.digests();
    let record = Record::new(before.clone(), Fields::new(), store.now().plus(HOUR));
    store.create(key, record).await.unwrap();
    let hash = format!("{}{key}", RedisStore::DEFAULT_PREFIX);
    // Without `rotated_at` and the lifetime.
    let shortens = "local old = redis.call('HGET', KEYS[1], '@') \
                    return redis.call('HSET', KEYS[1], '@', string.sub(old, 1, 55))";
    SERVER.command::<()>(&["EVAL", shortens, "1", &hash]);
    let mut update = Update::new(token.digests(), store.now().plus(HOUR));
    update.lifetime = Some(Lifetime::new(HOUR, HOUR));
    assert!(matches!(
        store.update(key, &update).await.unwrap(),
        Updated::Done(_)
    ));
    let stored = store.load(key, &Wanted::All).await.unwrap().unwrap();
    assert_eq!(
        stored.metadata.pack(),
        update.metadata_after(&before).pack()
    );
}
