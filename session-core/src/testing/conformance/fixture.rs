//! A session in the store under test, and words to say what happens to it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;

use super::StoreUnderTest;
use crate::changes::Change;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::recent::CommitId;
use crate::record::{Fields, Metadata, Name, Record};
use crate::rule::{Counter, CounterRange};
use crate::store::{Created, Expected, Key, Rotation, Store, Take, Taken, Update, Updated, Wanted};
use crate::token::Token;

/// Longer than any test.
pub(super) const LONG: Duration = Duration::from_secs(3600);

/// When every session of these tests was created: stores are told the time, they do not judge it.
pub(super) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// The values of an `i64`.
pub(super) const ANY: CounterRange = CounterRange::new(i64::MIN, i64::MAX);

/// How many calls are made at once. As many commits a store remembers at least.
pub(super) const MANY: usize = 64;

/// A session's handle on its store: what a request has.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) store: Arc<dyn Store>,
    pub(super) key: Key,
    pub(super) created: Metadata,
    pub(super) epoch: u32,
}

impl StoreUnderTest {
    /// A session that holds these fields.
    pub(super) async fn session(&self, fields: &[(&'static str, &str)]) -> Session {
        let session = self.no_session();
        let created = session.create(fields).await;
        assert_eq!(created, Created::Done, "a new session is stored");
        session
    }

    /// The handle of a session that the store does not know.
    pub(super) fn no_session(&self) -> Session {
        let token = Token::generate().expect("randomness");
        let created = Metadata {
            digest: token.digest(),
            ..Metadata::created_now(START, LONG)
        };
        Session {
            store: Arc::clone(&self.store),
            key: Key::new("conformance", token.id()),
            created,
            epoch: created.epoch,
        }
    }
}

impl Session {
    pub(super) async fn create(&self, fields: &[(&'static str, &str)]) -> Created {
        self.create_for(LONG, fields).await
    }

    pub(super) async fn create_for(
        &self,
        ttl: Duration,
        fields: &[(&'static str, &str)],
    ) -> Created {
        let record = Record::new(self.created, of(fields));
        let created = self.store.create(self.key, record, ttl).await;
        created.expect("create")
    }

    pub(super) async fn load(&self) -> Option<Arc<Record>> {
        let record = self.store.load(self.key, &Wanted::All).await;
        record.expect("load")
    }

    pub(super) async fn record(&self) -> Arc<Record> {
        self.load().await.expect("the session is stored")
    }

    pub(super) async fn fields(&self) -> Fields {
        self.record().await.fields.clone()
    }

    /// Asserts that it holds these fields and no other.
    pub(super) async fn holds(&self, fields: &[(&'static str, &str)]) {
        let stored = self.fields().await;
        assert_eq!(readable(&stored), readable(&of(fields)));
    }

    pub(super) async fn update(&self, update: &Update) -> Result<Updated, Error> {
        self.store.update(self.key, update).await
    }

    /// Does what is expected to be possible.
    pub(super) async fn done(&self, update: &Update) -> Fields {
        match self.update(update).await.expect("update") {
            Updated::Done(merged) => merged,
            refused => panic!("expected an update to be done: {refused:?}"),
        }
    }

    /// Does what is expected to come too late.
    pub(super) async fn gone(&self, update: &Update) {
        let updated = self.update(update).await.expect("update");
        assert_eq!(updated, Updated::Gone);
    }

    pub(super) async fn take(&self, take: &Take) -> Taken {
        self.store.take(self.key, take).await.expect("take")
    }

    pub(super) async fn delete(&self) {
        self.store.delete(self.key).await.expect("delete");
    }

    pub(super) fn touch(&self) -> Update {
        Update::touch(commit(), self.epoch, START, LONG)
    }

    pub(super) fn changing<const N: usize>(&self, changes: [(&'static str, Change); N]) -> Update {
        self.changing_names(changes.map(|(name, change)| (Name::from(name), change)))
    }

    pub(super) fn changing_names(
        &self,
        changes: impl IntoIterator<Item = (Name, Change)>,
    ) -> Update {
        let mut update = self.touch();
        for (name, change) in changes {
            update.changes.insert(name, change);
        }
        update
    }

    /// A rotation to the next epoch, and the session's handle after it.
    pub(super) fn rotation(&self) -> (Update, Self) {
        let token = Token::generate().expect("randomness");
        let before = Metadata {
            epoch: self.epoch,
            ..self.created
        };
        let at = START.plus(Duration::from_secs(7));
        let rotation = Rotation::of(&before, token.digest(), at, true);
        let update = Update {
            rotation: Some(rotation),
            ..self.touch()
        };
        let rotated = Self {
            epoch: rotation.epoch,
            ..self.clone()
        };
        (update, rotated)
    }

    pub(super) fn taking(&self, name: &'static str) -> Take {
        Take::new(commit(), self.epoch, name.into(), &[])
    }
}

/// A new name of a commit.
pub(super) fn commit() -> CommitId {
    CommitId::generate(START).expect("randomness")
}

pub(super) fn set(value: &str) -> Change {
    Change::Set(value.into())
}

pub(super) fn max(value: &str) -> Change {
    Change::Max(value.into())
}

pub(super) fn min(value: &str) -> Change {
    Change::Min(value.into())
}

pub(super) fn add(delta: i64) -> Change {
    add_within(ANY, delta, 0)
}

pub(super) fn add_within(range: CounterRange, delta: i64, base: i64) -> Change {
    let counter = Counter::new(range);
    Change::Add {
        delta,
        base,
        counter,
    }
}

pub(super) fn add_with_old_names(aliases: &'static [&'static str], delta: i64) -> Change {
    let counter = Counter {
        aliases,
        ..Counter::new(ANY)
    };
    Change::Add {
        delta,
        base: 0,
        counter,
    }
}

/// It is expected that these fields have these values.
pub(super) fn expecting(fields: &[(&'static str, Option<&str>)]) -> Expected {
    let fields = fields.iter();
    Expected {
        fields: fields
            .map(|&(name, value)| (name.into(), value.map(Into::into)))
            .collect(),
        counts: Vec::new(),
    }
}

pub(super) fn of(fields: &[(&'static str, &str)]) -> Fields {
    let fields = fields.iter();
    fields
        .map(|&(name, value)| (name.into(), value.into()))
        .collect()
}

/// What a failed test shows. `Fields` shows no values, which may be somebody's; here they are ours.
pub(super) fn readable(fields: &Fields) -> Vec<(&str, String)> {
    let fields = fields.iter();
    fields
        .map(|(name, value)| (&**name, value.escape_ascii().to_string()))
        .collect()
}

/// Asserts that an update was refused because a number would have left its range.
pub(super) fn assert_overflow(updated: Result<Updated, Error>, what: &str) {
    match updated {
        Err(error) => assert!(error.is_overflow(), "{what}: {error:?}"),
        Ok(updated) => panic!("{what}: {updated:?} where it must overflow"),
    }
}

/// Does the task so many times, on as many threads as there are, and all at once.
pub(super) async fn at_once<F>(count: usize, task: impl Fn(usize) -> F) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let start = |number| {
        let (barrier, task) = (Arc::clone(&barrier), task(number));
        tokio::spawn(async move {
            barrier.wait().await;
            task.await
        })
    };
    let tasks: Vec<_> = (0..count).map(start).collect();
    let mut outputs = Vec::with_capacity(count);
    for task in tasks {
        outputs.push(task.await.expect("the calls are answered"));
    }
    outputs
}
