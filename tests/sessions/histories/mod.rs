//! Concurrent calls to a store are explained by some order in which they came one after the other:
//! what each was answered, and what is stored in the end. On both stores.

mod order;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use session_core::changes::{Change, Changes};
use session_core::clock::{Clock, SystemClock};
use session_core::random::random_below;
use session_core::recent::CommitId;
use session_core::record::{Fields, Metadata, Record};
use session_core::rule::{Counter, CounterRange};
use session_core::store::memory::MemoryStore;
use session_core::store::{
    Created, Expected, Key, Rotation, Store, Take, Taken, Update, Updated, Wanted,
};
use session_core::token::Token;

use self::order::{Answer, Call, Event, View, is_explained};
use crate::support::redis::RedisServer;

const TTL: Duration = Duration::from_secs(60);
const COUNTER: Counter = Counter::new(CounterRange::new(0, 9));

/// One session in a store.
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
        let now = SystemClock.now();
        let id = CommitId::generate(now).unwrap();
        let mut update = Update::touch(id, 0, now, TTL);
        match call {
            Call::Add(delta) => {
                update.changes.insert("c".into(), add(delta));
            }
            Call::Create(value) => return self.create(value).await,
            Call::Delete => {
                self.store.delete(self.key).await.unwrap();
                return Answer::Done;
            }
            Call::Load => return Answer::View(self.view().await),
            Call::Rotate => {
                let digest = self.token.rotate().unwrap().digest();
                update.rotation = Some(Rotation::of(&Metadata::default(), digest, now, true));
            }
            Call::Set(value) => set(&mut update.changes, value),
            Call::SetIfNew(value) => {
                set(&mut update.changes, value);
                let mut expected = Expected::default();
                expected.fields.push(("s".into(), None));
                update.expected = Some(expected);
            }
            Call::Take => {
                let take = Take::new(id, 0, "o".into(), &[]);
                return match self.store.take(self.key, &take).await.unwrap() {
                    Taken::Done(value) => Answer::Value(value.map(text)),
                    Taken::Gone => Answer::Gone,
                };
            }
        }
        match self.store.update(self.key, &update).await {
            Ok(Updated::Conflict) => Answer::Conflict,
            Ok(Updated::Done(merged)) => match merged.get("c") {
                Some(count) => Answer::Value(Some(text(count.to_vec()))),
                None => Answer::Done,
            },
            Ok(Updated::Gone) => Answer::Gone,
            Err(error) => {
                assert!(error.is_overflow(), "{error}");
                Answer::Overflow
            }
        }
    }

    async fn create(&self, value: u8) -> Answer {
        let fields = Fields::from_iter([("o".into(), value.to_string().into_bytes())]);
        // Another digest each time: these are different sessions that meet under one key.
        let mut metadata = Metadata::default();
        metadata.digest = self.token.rotate().unwrap().digest();
        let created = self
            .store
            .create(self.key, Record::new(metadata, fields), TTL);
        match created.await.unwrap() {
            Created::Done => Answer::Done,
            Created::Exists => Answer::Gone,
        }
    }

    async fn view(&self) -> View {
        let record = self.store.load(self.key, &Wanted::All).await.unwrap()?;
        let fields = record
            .fields
            .iter()
            .filter(|(name, _)| !name.starts_with('@'));
        let fields = fields.map(|(name, value)| (name.to_string(), text(value.to_vec())));
        Some((record.metadata.epoch, fields.collect()))
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

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

fn random_call() -> Call {
    let random = |bound| random_below(bound).unwrap();
    let value = random(200) as u8;
    match random(10) {
        0 | 1 => Call::Add(random(9) as i64 - 3),
        2 => Call::Create(value),
        3 => Call::Delete,
        4 => Call::Load,
        5 => Call::Rotate,
        6 => Call::Set(value),
        7 => Call::SetIfNew(value),
        _ => Call::Take,
    }
}

/// Three calls at once, each to a handle of its own on the same sessions.
async fn check(stores: &[Arc<dyn Store>; 3], now: &Arc<AtomicU64>) {
    let subject = Subject::new(&stores[0]);
    let start: View = match random_below(8).unwrap() {
        0 => None,
        _ => {
            subject.create(200).await;
            Some((0, BTreeMap::from([("o".into(), "200".into())])))
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

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn histories_on_redis_are_linear() {
    let redis = RedisServer::start();
    let stores = [(); 3].map(|()| Arc::new(redis.store()) as Arc<dyn Store>);
    let now = Arc::default();
    for _ in 0..2000 {
        check(&stores, &now).await;
    }
}

/// Two processes whose clocks differ, or one whose calls overtake each other: what was done under a
/// later name is remembered all the same.
#[tokio::test]
async fn a_commit_that_was_overtaken_is_done_once() {
    let redis = RedisServer::start();
    let stores: [Arc<dyn Store>; 2] = [Arc::new(MemoryStore::new()), Arc::new(redis.store())];
    for store in &stores {
        let subject = Subject::new(store);
        subject.create(200).await;
        let now = SystemClock.now();
        let update = |seconds| {
            let id = CommitId::generate(now.plus(Duration::from_secs(seconds))).unwrap();
            let mut update = Update::touch(id, 0, now, TTL);
            update.changes.insert("c".into(), add(1));
            update
        };
        let (late, early) = (update(5), update(0));
        for update in [&late, &early, &late, &early] {
            let answer = store.update(subject.key, update).await.unwrap();
            assert!(matches!(answer, Updated::Done(_)));
        }
        let (_, fields) = subject.view().await.unwrap();
        assert_eq!(fields["c"], "2");
    }
}
