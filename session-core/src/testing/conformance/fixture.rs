use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;

use super::StoreUnderTest;
use crate::clock::Timestamp;
use crate::fields::{Fields, Name};
use crate::merge::{Change, Counter, CounterRange, Extreme};
use crate::record::{Metadata, Record};
use crate::store::{
    Created, Delete, Deleted, Expected, Key, Rotation, Store, Update, Updated, Wanted,
};
use crate::token::{Digests, Token};

pub(super) const LONG: Duration = Duration::from_secs(3600);

/// An arbitrary creation time: stores ignore what a record says of itself.
pub(super) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(super) const ANY: CounterRange = CounterRange::new(i64::MIN, i64::MAX);

/// The number of calls at once.
pub(super) const MANY: usize = 64;

/// A store, and advice for its author if the clause fails.
#[derive(Clone, Copy)]
pub(super) struct Clause<'s> {
    pub(super) store: &'s StoreUnderTest,
    advice: &'static str,
}

/// A session in its store, as a request sees it.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) store: Arc<dyn Store>,
    pub(super) key: Key,
    pub(super) token: Token,
    pub(super) created: Metadata,
    /// What a request with this token has loaded.
    pub(super) digests: Digests,
    pub(super) advice: &'static str,
}

impl StoreUnderTest {
    pub(super) fn advised(&self, advice: &'static str) -> Clause<'_> {
        Clause {
            store: self,
            advice,
        }
    }
}

impl Clause<'_> {
    pub(super) async fn session(&self, fields: &[(&'static str, &str)]) -> Session {
        let session = self.no_session();
        session.begin(fields).await;
        session
    }

    /// A session that the store does not know.
    pub(super) fn no_session(&self) -> Session {
        let token = Token::generate().expect("randomness");
        let created = Metadata {
            digests: token.digests(),
            ..Metadata::created_now(START, LONG)
        };
        Session {
            store: Arc::clone(&self.store.store),
            key: Key::new("conformance", token.id()),
            digests: token.digests(),
            token,
            created,
            advice: self.advice,
        }
    }
}

impl Session {
    pub(super) async fn begin(&self, fields: &[(&'static str, &str)]) {
        let created = self.create(fields).await;
        self.require(
            created == Created::Done,
            "a create of a new session was not done",
        );
    }

    pub(super) async fn create(&self, fields: &[(&'static str, &str)]) -> Created {
        self.create_for(LONG, fields).await
    }

    pub(super) async fn create_for(
        &self,
        ttl: Duration,
        fields: &[(&'static str, &str)],
    ) -> Created {
        let remove_at = self.store.now().plus(ttl);
        let record = Record::new(self.created.clone(), of(fields), remove_at);
        match self.store.create(self.key, record).await {
            Ok(created) => created,
            Err(error) => self.fail(format_args!("a create answered an error: {error}")),
        }
    }

    pub(super) async fn load(&self) -> Option<Arc<Record>> {
        self.load_some(&Wanted::All).await
    }

    pub(super) async fn load_some(&self, wanted: &Wanted) -> Option<Arc<Record>> {
        match self.store.load(self.key, wanted).await {
            Ok(loaded) => loaded,
            Err(error) => self.fail(format_args!("a load answered an error: {error}")),
        }
    }

    pub(super) async fn record(&self) -> Arc<Record> {
        match self.load().await {
            Some(record) => record,
            None => self.fail("a session that exists is absent"),
        }
    }

    pub(super) async fn metadata(&self) -> Metadata {
        self.record().await.metadata.clone()
    }

    pub(super) async fn fields(&self) -> Fields {
        self.record().await.fields.clone()
    }

    pub(super) async fn is_absent(&self) {
        let loaded = self.load().await;
        let fields = loaded.as_ref().map(|record| readable(&record.fields));
        self.require(
            loaded.is_none(),
            format_args!("a session that should be absent holds {fields:?}"),
        );
    }

    pub(super) async fn holds(&self, fields: &[(&'static str, &str)]) {
        let stored = self.fields().await;
        let (stored, wanted) = (readable(&stored), of(fields));
        let wanted = readable(&wanted);
        self.require(
            stored == wanted,
            format_args!("the session should hold {wanted:?}, and holds {stored:?}"),
        );
    }

    pub(super) async fn is_described_by(&self, wanted: &Metadata) {
        let stored = self.metadata().await;
        self.require(
            stored.pack() == wanted.pack(),
            format_args!("the metadata should be\n{wanted:?}, and are\n{stored:?}"),
        );
    }

    pub(super) async fn update(&self, update: &Update) -> Updated {
        match self.store.update(self.key, update).await {
            Ok(updated) => updated,
            Err(error) => self.fail(format_args!("an update answered an error: {error}")),
        }
    }

    pub(super) async fn done(&self, update: &Update) -> Fields {
        match self.update(update).await {
            Updated::Done(answer) => answer,
            refused => self.fail(format_args!("an update should be Done, and is {refused:?}")),
        }
    }

    pub(super) async fn refused(&self, update: &Update, wanted: Updated) {
        let updated = self.update(update).await;
        self.require(
            updated == wanted,
            format_args!("an update should answer {wanted:?}, and answers {updated:?}"),
        );
    }

    pub(super) async fn gone(&self, update: &Update) {
        self.refused(update, Updated::Gone).await;
    }

    pub(super) async fn take(
        &self,
        name: &'static str,
        aliases: &'static [&'static str],
    ) -> Option<String> {
        let answer = self
            .done(&self.changing([(name, Change::Take { aliases })]))
            .await;
        let value = answer.get(name);
        value.map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Deletes whatever is under its key.
    pub(super) async fn delete(&self) {
        self.ended(&Delete::new(None, self.soon()), Deleted::Done)
            .await;
    }

    /// Deletes it only if its login is unchanged, as a request does.
    pub(super) async fn end(&self) {
        self.ended(&self.ending(), Deleted::Done).await;
    }

    pub(super) async fn ended(&self, delete: &Delete, wanted: Deleted) {
        let deleted = self.deleted(delete).await;
        self.require(
            deleted == wanted,
            format_args!("a delete should answer {wanted:?}, and answers {deleted:?}"),
        );
    }

    pub(super) fn ending(&self) -> Delete {
        Delete::new(Some(self.digests), self.soon())
    }

    pub(super) async fn deleted(&self, delete: &Delete) -> Deleted {
        match self.store.delete(self.key, delete).await {
            Ok(deleted) => deleted,
            Err(error) => self.fail(format_args!("a delete answered an error: {error}")),
        }
    }

    pub(super) fn soon(&self) -> Timestamp {
        self.store.now().plus(LONG)
    }

    pub(super) fn touch(&self) -> Update {
        Update {
            touched_at: Some(START),
            ttl: LONG,
            ..Update::new(self.digests, self.soon())
        }
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

    /// Also returns the session's handle after it.
    pub(super) fn rotation(&self) -> (Update, Self) {
        self.renewal(self.token.rotate().expect("randomness"), false)
    }

    pub(super) fn login(&self) -> (Update, Self) {
        self.renewal(self.token.log_in().expect("randomness"), true)
    }

    fn renewal(&self, token: Token, is_login: bool) -> (Update, Self) {
        let digests = token.digests();
        let at = START.plus(Duration::from_secs(7));
        let rotation = Rotation {
            digests,
            at,
            is_login,
        };
        let update = Update {
            rotation: Some(rotation),
            ..self.touch()
        };
        let renewed = Self {
            digests,
            token,
            ..self.clone()
        };
        (update, renewed)
    }

    /// Another session with the same id by chance.
    pub(super) fn of_the_same_id(&self) -> Self {
        let token = self.token.log_in().expect("randomness");
        let digests = token.digests();
        Self {
            digests,
            token,
            created: Metadata {
                digests,
                ..self.created.clone()
            },
            ..self.clone()
        }
    }

    /// With its verifier and another login half.
    pub(super) fn of_another_login(&self) -> Self {
        let (login, half) = (self.of_the_same_id().digests, Digests::LEN / 2);
        let mut bytes = login.to_bytes();
        bytes[half..].copy_from_slice(&self.digests.to_bytes()[half..]);
        Self {
            digests: Digests::from_bytes(bytes),
            ..self.clone()
        }
    }

    #[track_caller]
    pub(super) fn require(&self, is_so: bool, seen: impl Display) {
        if !is_so {
            self.fail(seen);
        }
    }

    #[track_caller]
    fn fail(&self, seen: impl Display) -> ! {
        panic!("{}\n\nSeen: {seen}\n", self.advice)
    }
}

pub(super) fn set(value: &str) -> Change {
    Change::Set(value.into())
}

pub(super) fn max(value: &str) -> Change {
    Change::Extreme(Extreme::Max, value.into())
}

pub(super) fn min(value: &str) -> Change {
    Change::Extreme(Extreme::Min, value.into())
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
    let base = 0;
    Change::Add {
        delta,
        base,
        counter,
    }
}

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
    fields.map(|&(name, value)| (name.into(), value)).collect()
}

/// For a failed test's output: `Fields` hides its values.
pub(super) fn readable(fields: &Fields) -> Vec<(&str, String)> {
    let fields = fields.iter();
    fields
        .map(|(name, value)| (&**name, value.escape_ascii().to_string()))
        .collect()
}

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
        match task.await {
            Ok(output) => outputs.push(output),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    outputs
}
