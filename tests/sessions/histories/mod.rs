//! Concurrent calls to a store are linearizable: some order of them explains each answer and the final state.
//! On both stores.

mod order;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use session_core::changes::Changes;
use session_core::clock::Timestamp;
use session_core::fields::Fields;
use session_core::merge::{Change, Counter, CounterRange};
use session_core::random::random_below;
use session_core::record::{Metadata, Record};
use session_core::store::memory::MemoryStore;
use session_core::store::{
    Created, Delete, Deleted, Expected, Key, Rotation, Store, Update, Updated, Wanted,
};
use session_core::token::Token;

use self::order::{Answer, Call, Event, Opens, View, is_explained};
use crate::support::near::NearFirst;
use crate::support::redis::RedisServer;

const TTL: Duration = Duration::from_secs(60);
const COUNTER: Counter = Counter::new(CounterRange::new(0, 9));

#[derive(Clone)]
struct Subject {
    store: Arc<dyn Store>,
    key: Key,
    token: Token,
}

impl Subject {
    fn new(store: &Arc<dyn Store>) -> Self {
        let token = Token::generate().unwrap();
        Self {
            store: Arc::clone(store),
            key: Key::new("history", token.id()),
            token,
        }
    }

    async fn call(&self, call: Call) -> Answer {
        let now = self.store.now();
        let mut update = Update::new(self.token.digests(), now.plus(TTL));
        (update.touched_at, update.ttl) = (Some(now), TTL);
        let mut rotate = |token: Token, is_login| {
            update.rotation = Some(Rotation::new(token.digests(), now, is_login));
        };
        match call {
            Call::Add(delta) => update.changes.insert("c".into(), add(delta)),
            Call::Create(value) => {
                // A new token: these are different sessions under one key.
                return self.create(value, &Token::generate().unwrap()).await;
            }
            Call::Delete => {
                let delete = Delete::new(None, now.plus(TTL));
                let deleted = self.store.delete(self.key, &delete).await.unwrap();
                assert_eq!(deleted, Deleted::Done);
                return Answer::Done;
            }
            Call::End => {
                let delete = Delete::new(Some(self.token.digests()), now.plus(TTL));
                return match self.store.delete(self.key, &delete).await.unwrap() {
                    Deleted::Done => Answer::Done,
                    Deleted::Late(_) => Answer::Late,
                    Deleted::Other => Answer::Other,
                };
            }
            Call::Late => {
                set(&mut update.changes, 255);
                update.not_after = Timestamp::default();
                let delete = Delete::new(Some(self.token.digests()), Timestamp::default());
                let deleted = self.store.delete(self.key, &delete).await.unwrap();
                assert!(matches!(deleted, Deleted::Late(_)));
            }
            Call::Load => return Answer::View(self.view().await),
            Call::LogIn => rotate(self.token.log_in().unwrap(), true),
            Call::Rotate => rotate(self.token.rotate().unwrap(), false),
            Call::Set(value) => set(&mut update.changes, value),
            Call::SetIfNew(value) => {
                set(&mut update.changes, value);
                let mut expected = Expected::default();
                expected.fields.push(("s".into(), None));
                update.expected = Some(expected);
            }
            Call::Take => {
                let take = Change::Take { aliases: &[] };
                update.changes.insert("o".into(), take);
            }
        }
        match self.store.update(self.key, &update).await.unwrap() {
            Updated::Conflict => Answer::Conflict,
            Updated::Done(answer) => match call {
                Call::Add(_) => Answer::Value(answer.get("c").map(text)),
                Call::Take => Answer::Value(answer.get("o").map(text)),
                _ => Answer::Done,
            },
            // If both apply, a store may answer either.
            Updated::Gone | Updated::Late(_) if call == Call::Late => Answer::Late,
            Updated::Gone => Answer::Gone,
            Updated::Late(_) => Answer::Late,
            Updated::Overflow(_) => Answer::Overflow,
        }
    }

    async fn create(&self, value: u8, token: &Token) -> Answer {
        let fields = Fields::from_iter([("o".into(), value.to_string().into_bytes())]);
        let mut metadata = Metadata::default();
        metadata.digests = token.digests();
        let record = Record::new(metadata, fields, self.store.now().plus(TTL));
        match self.store.create(self.key, record).await.unwrap() {
            Created::Done => Answer::Done,
            Created::Refused => Answer::Gone,
        }
    }

    async fn view(&self) -> View {
        let record = self.store.load(self.key, &Wanted::All).await.unwrap()?;
        let fields = record.fields.iter();
        let fields = fields.map(|(name, value)| (name.to_string(), text(value)));
        let (stored, known) = (record.metadata.digests, self.token.digests());
        let opens = match (stored.matches(&known), stored.login_matches(&known)) {
            (true, _) => Opens::Yes,
            (false, true) => Opens::SameLogin,
            (false, false) => Opens::OtherLogin,
        };
        Some((opens, fields.collect()))
    }
}

fn add(delta: i64) -> Change {
    let (base, counter) = (0, COUNTER);
    Change::Add {
        delta,
        base,
        counter,
    }
}

fn set(changes: &mut Changes, value: u8) {
    changes.insert("s".into(), Change::Set(value.to_string().into_bytes()));
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn random_call() -> Call {
    let random = |bound| random_below(bound).unwrap();
    let value = random(200) as u8;
    match random(13) {
        0 | 1 => Call::Add(random(9) as i64 - 3),
        2 => Call::Create(value),
        3 => Call::Delete,
        4 => Call::Late,
        5 => Call::Load,
        6 => Call::LogIn,
        7 => Call::Rotate,
        8 => Call::Set(value),
        9 => Call::SetIfNew(value),
        10 => Call::End,
        _ => Call::Take,
    }
}

async fn check(stores: &[Arc<dyn Store>; 3], now: &Arc<AtomicU64>) {
    let subject = Subject::new(&stores[0]);
    let start: View = match random_below(8).unwrap() {
        0 => None,
        _ => {
            subject.create(200, &subject.token).await;
            Some((Opens::Yes, BTreeMap::from([("o".into(), "200".into())])))
        }
    };
    let tasks = stores.clone().map(|store| {
        let subject = Subject {
            store,
            ..subject.clone()
        };
        let now = Arc::clone(now);
        tokio::spawn(async move {
            let call = random_call();
            let began = now.fetch_add(1, Ordering::SeqCst);
            let answer = subject.call(call).await;
            let ended = now.fetch_add(1, Ordering::SeqCst);
            Event {
                call,
                began,
                ended,
                answer,
            }
        })
    });
    let mut events = Vec::new();
    for task in tasks {
        events.push(task.await.unwrap());
    }
    let end = subject.view().await;
    assert!(
        is_explained(&start, &events, &end),
        "no order explains how {start:?} becomes {end:?} by {events:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn histories_in_memory_are_linear() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (stores, now) = ([&store, &store, &store].map(Arc::clone), Arc::default());
    for _ in 0..5000 {
        check(&stores, &now).await;
    }
}

/// One process stays linear although it reads copies: it drops them before it reports a change.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn histories_with_a_near_cache_are_linear() {
    let redis = RedisServer::start();
    let near = NearFirst::new(redis.near_store(redis.port(), Duration::from_secs(10)));
    near.store().ping().await.unwrap();
    let near: Arc<dyn Store> = Arc::new(near);
    let (stores, now) = ([&near, &near, &near].map(Arc::clone), Arc::default());
    for _ in 0..2000 {
        check(&stores, &now).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn histories_on_redis_are_linear() {
    let redis = RedisServer::start();
    let stores = [(); 3].map(|()| redis.store());
    for store in &stores {
        // Hears the server's time.
        store.ping().await.unwrap();
    }
    let stores = stores.map(|store| Arc::new(store) as Arc<dyn Store>);
    let now = Arc::default();
    for _ in 0..2000 {
        check(&stores, &now).await;
    }
}
