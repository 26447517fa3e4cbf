//! The store in memory is bounded: expired sessions make room first, then the least important.

use std::sync::Arc;
use std::time::Duration;

use session_core::clock::Clock as _;
use session_core::fields::Fields;
use session_core::record::{Metadata, Record};
use session_core::store::memory::MemoryStore;
use session_core::store::{Created, Key, Store as _, Wanted};
use session_core::testing::ManualClock;
use session_core::token::Token;

const MINUTE: Duration = Duration::from_secs(60);

struct Bounded {
    store: MemoryStore,
    clock: Arc<ManualClock>,
}

impl Bounded {
    fn new(capacity: usize) -> Self {
        let clock = Arc::new(ManualClock::new());
        let store = MemoryStore::with_clock(Arc::<ManualClock>::clone(&clock)).capacity(capacity);
        Self { store, clock }
    }

    async fn add(&self, identified: bool, ttl: Duration) -> Key {
        let token = Token::generate().unwrap();
        let mut metadata = Metadata::created_now(self.clock.now(), ttl);
        metadata.digests = token.digests();
        metadata.authenticated_at = identified.then(|| self.clock.now());
        let key = Key::new("visit", token.id());
        let record = Record::new(metadata, Fields::new(), self.clock.now().plus(ttl));
        let created = self.store.create(key, record).await.unwrap();
        assert_eq!(created, Created::Done);
        key
    }

    async fn anonymous(&self, ttl: Duration) -> Key {
        self.add(false, ttl).await
    }

    async fn identified(&self, ttl: Duration) -> Key {
        self.add(true, ttl).await
    }

    async fn has(&self, key: Key) -> bool {
        let found = self.store.load(key, &Wanted::All).await.unwrap();
        found.is_some()
    }
}

#[tokio::test]
async fn it_never_holds_more_than_its_capacity() {
    let bounded = Bounded::new(3);
    for _ in 0..100 {
        let newest = bounded.anonymous(MINUTE).await;
        assert!(bounded.has(newest).await);
        assert!(bounded.store.len() <= 3);
    }
    assert_eq!(bounded.store.len(), 3);
}

#[tokio::test]
async fn the_anonymous_session_that_would_end_first_is_displaced() {
    let bounded = Bounded::new(3);
    let user = bounded.identified(MINUTE).await;
    let longer = bounded.anonymous(3 * MINUTE).await;
    let shorter = bounded.anonymous(2 * MINUTE).await;
    bounded.anonymous(4 * MINUTE).await;
    assert!(!bounded.has(shorter).await);
    assert!(bounded.has(longer).await && bounded.has(user).await);
    bounded.anonymous(5 * MINUTE).await;
    assert!(!bounded.has(longer).await);
    assert!(bounded.has(user).await);
}

#[tokio::test]
async fn among_users_the_one_whose_session_would_end_first_is_displaced() {
    let bounded = Bounded::new(2);
    let later = bounded.identified(2 * MINUTE).await;
    let first = bounded.identified(MINUTE).await;
    bounded.anonymous(9 * MINUTE).await;
    assert!(!bounded.has(first).await);
    assert!(bounded.has(later).await);
}

#[tokio::test]
async fn what_is_over_makes_room_before_anybody_is_displaced() {
    let bounded = Bounded::new(4);
    bounded.anonymous(MINUTE).await;
    bounded.identified(MINUTE).await;
    let living = [
        bounded.anonymous(3 * MINUTE).await,
        bounded.identified(3 * MINUTE).await,
    ];
    bounded.clock.advance(MINUTE);
    assert_eq!(bounded.store.len(), 4, "nobody sweeps in the background");
    bounded.anonymous(3 * MINUTE).await;
    assert_eq!(bounded.store.len(), 3, "and then all that is over goes");
    bounded.anonymous(3 * MINUTE).await;
    for key in living {
        assert!(bounded.has(key).await);
    }
}

#[tokio::test]
async fn a_capacity_of_nothing_is_one() {
    let bounded = Bounded::new(0);
    let only = bounded.anonymous(MINUTE).await;
    assert!(bounded.has(only).await);
}
