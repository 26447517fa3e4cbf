//! Whatever is called, in whatever order: the store in memory and the one in Redis answer the same.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use rocket_typed_session::MemoryStore;
use session_core::changes::{Change, Changes, Expired};
use session_core::clock::Timestamp;
use session_core::error::Error;
use session_core::expiry::Lifetime;
use session_core::recent::CommitId;
use session_core::record::{Fields, Metadata, Name, Record};
use session_core::rule::{Counter, CounterRange};
use session_core::store::{
    Created, Expected, Key, Rotation, Store, Take, Taken, Update, Updated, Wanted,
};
use session_core::token::Token;

use crate::conformance::redis_store;

const HOUR: Duration = Duration::from_secs(3600);
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const NAMES: &[&str] = &["a", "b", "n", "e:1", "e:2", "old", "@until:n"];
const OLD_NAMES: &[&str] = &["old"];

#[derive(Clone, Debug)]
enum Call {
    Create {
        is_second: bool,
        fields: Vec<(&'static str, String)>,
    },
    Delete,
    Load(Vec<&'static str>),
    Take {
        is_late: bool,
        name: &'static str,
        has_old_names: bool,
    },
    TakeAgain(Index),
    Update {
        is_late: bool,
        changes: Changes,
        expected: Option<Expected>,
        rotates: bool,
        lifetime: Option<Lifetime>,
        seconds: u64,
    },
    UpdateAgain(Index),
}

fn call() -> impl Strategy<Value = Call> {
    let name = || proptest::sample::select(NAMES);
    let is_late = || proptest::bool::weighted(0.05);
    let fields = proptest::collection::vec((name(), value()), 0..5);
    let create = (any::<bool>(), fields);
    let create = create.prop_map(|(is_second, fields)| Call::Create { is_second, fields });
    let take = (is_late(), name(), any::<bool>());
    let take = take.prop_map(|(is_late, name, has_old_names)| Call::Take {
        is_late,
        name,
        has_old_names,
    });
    let update = (
        is_late(),
        changes(),
        proptest::option::weighted(0.2, expected()),
        proptest::bool::weighted(0.1),
        proptest::option::weighted(0.1, proptest::option::of(1_u64..100_000)),
        0_u64..1000,
    );
    let update = update.prop_map(|(is_late, changes, expected, rotates, idle, seconds)| {
        let lifetime = idle.map(|seconds| {
            let mut lifetime = Lifetime::default();
            lifetime.idle_timeout = seconds.map(Duration::from_secs);
            lifetime
        });
        Call::Update {
            is_late,
            changes,
            expected,
            rotates,
            lifetime,
            seconds,
        }
    });
    prop_oneof![
        2 => create,
        1 => Just(Call::Delete),
        2 => proptest::collection::vec(name(), 0..4).prop_map(Call::Load),
        3 => take,
        2 => any::<Index>().prop_map(Call::TakeAgain),
        16 => update,
        3 => any::<Index>().prop_map(Call::UpdateAgain),
    ]
}

/// Numbers around the limits of every type, and what is none.
fn value() -> impl Strategy<Value = String> {
    let limits = [
        0,
        7,
        127,
        128,
        i128::from(i64::MAX),
        i128::from(u64::MAX),
        1 << 53,
    ];
    let near = (
        proptest::sample::select(limits.to_vec()),
        -2_i128..3,
        any::<bool>(),
    );
    let near = near.prop_map(|(limit, by, is_negative)| {
        let number = limit + by;
        if is_negative { -number } else { number }.to_string()
    });
    let junk = proptest::sample::select(&["", "null", "01", "-0", "1.5", "\"1\"", "100"][..]);
    prop_oneof![6 => near, 6 => (-20_i128..20).prop_map(|n| n.to_string()), 1 => junk.prop_map(String::from)]
}

fn integer() -> impl Strategy<Value = String> {
    value().prop_filter("an integer", |value| {
        value
            .parse::<i128>()
            .is_ok_and(|number| number.to_string() == *value)
    })
}

/// An old name is not changed by an update that takes it along: no schema says so.
fn changes() -> impl Strategy<Value = Changes> {
    let range = prop_oneof![
        Just(CounterRange::new(-128, 127)),
        Just(CounterRange::new(0, i64::MAX)),
        Just(CounterRange::new(i64::MIN, i64::MAX)),
    ];
    let delta = prop_oneof![4 => -20_i64..20, 1 => any::<i64>()];
    let add = (range, delta, -5_i64..5, any::<bool>());
    let add = add.prop_map(|(range, delta, base, has_old_names)| {
        let mut counter = Counter::new(range);
        counter.aliases = if has_old_names { OLD_NAMES } else { &[] };
        Change::Add {
            delta,
            base,
            counter,
        }
    });
    let change = prop_oneof![
        3 => add,
        2 => integer().prop_map(|value| Change::Max(value.into())),
        2 => integer().prop_map(|value| Change::Min(value.into())),
        3 => value().prop_map(|value| Change::Set(value.into())),
        1 => Just(Change::Unset),
    ];
    let changing = proptest::sample::select(&["a", "b", "n", "e:1", "e:2"][..]);
    let some = proptest::collection::vec((changing, change), 0..4);
    let deadline = proptest::sample::select(&["100", "200"][..]);
    let expired = proptest::option::weighted(0.3, deadline.clone());
    let renewed = proptest::option::weighted(0.3, deadline);
    (some, expired, renewed).prop_map(|(some, expired, renewed)| {
        let mut changes = Changes::new();
        for (name, change) in some {
            changes.insert(name.into(), change);
        }
        if let Some(deadline) = renewed {
            changes.insert("@until:n".into(), Change::Set(deadline.into()));
        }
        if let Some(deadline) = expired {
            let expired = Expired::new("n".into(), "@until:n".into(), deadline.into());
            changes.expire(expired);
        }
        changes
    })
}

fn expected() -> impl Strategy<Value = Expected> {
    let name = proptest::sample::select(&["a", "e:1", "absent"][..]);
    let value = proptest::option::of((0_i32..3).prop_map(|n| n.to_string().into_bytes()));
    let field = (name, value).prop_map(|(name, value)| (Name::from(name), value));
    let fields = proptest::collection::vec(field, 0..2);
    let prefix = proptest::sample::select(&["e:", "x:"][..]).prop_map(String::from);
    let counts = proptest::collection::vec((prefix, 0_usize..3), 0..2);
    (fields, counts).prop_map(|(fields, counts)| {
        let mut expected = Expected::default();
        expected.fields = fields;
        expected.counts = counts;
        expected
    })
}

/// An answer, in a form that can be compared and shown.
#[derive(Debug, PartialEq)]
enum Answer {
    Created(Created),
    Deleted,
    Loaded(Option<([u8; Metadata::PACKED_LEN], Readable)>),
    Overflow,
    Taken(Taken),
    Updated(Updated, Readable),
}

type Readable = Vec<(String, String)>;

impl Answer {
    fn of_update(answer: Result<Updated, Error>) -> Self {
        match answer {
            Ok(Updated::Done(merged)) => {
                Self::Updated(Updated::Done(Fields::new()), readable(&merged))
            }
            Ok(refused) => Self::Updated(refused, Vec::new()),
            Err(error) => {
                assert!(error.is_overflow(), "{error}");
                Self::Overflow
            }
        }
    }
}

fn readable(fields: &Fields) -> Readable {
    let readable = |value: &[u8]| value.escape_ascii().to_string();
    let fields = fields.iter();
    fields
        .map(|(name, value)| (name.to_string(), readable(value)))
        .collect()
}

/// What is called, with all that must be the same for both stores: ids and digests.
enum Prepared {
    Create(Record),
    Delete,
    Load(Wanted),
    Take(Take),
    Update(Update),
}

impl Prepared {
    async fn run(&self, store: &dyn Store, key: Key) -> Answer {
        match self {
            Self::Create(record) => {
                Answer::Created(store.create(key, record.clone(), HOUR).await.unwrap())
            }
            Self::Delete => {
                store.delete(key).await.unwrap();
                Answer::Deleted
            }
            Self::Load(wanted) => {
                let loaded = store.load(key, wanted).await.unwrap();
                Answer::Loaded(loaded.map(|record| {
                    // More than is wanted does no harm.
                    let is_wanted = |name: &str| match wanted {
                        Wanted::All => true,
                        Wanted::Fields(names) => names.iter().any(|wanted| *wanted == name),
                    };
                    let mut fields = readable(&record.fields);
                    fields.retain(|(name, _)| is_wanted(name));
                    (record.metadata.pack(), fields)
                }))
            }
            Self::Take(take) => Answer::Taken(store.take(key, take).await.unwrap()),
            Self::Update(update) => Answer::of_update(store.update(key, update).await),
        }
    }
}

/// A session of which both stores are asked the same.
struct Session {
    key: Key,
    tokens: [Token; 2],
    epoch: u32,
    takes: Vec<Take>,
    updates: Vec<Update>,
}

impl Session {
    fn new() -> Self {
        let token = Token::generate().unwrap();
        Self {
            key: Key::new("differential", token.id()),
            tokens: [token.rotate().unwrap(), token],
            epoch: 0,
            takes: Vec::new(),
            updates: Vec::new(),
        }
    }

    fn prepare(&mut self, call: Call) -> Prepared {
        let id = CommitId::generate(START).unwrap();
        let epoch_of = |is_late| self.epoch + u32::from(is_late);
        match call {
            Call::Create { is_second, fields } => {
                let mut metadata = Metadata::created_now(START, HOUR);
                metadata.digest = self.tokens[usize::from(is_second)].digest();
                let fields = fields.into_iter();
                let fields = fields.map(|(name, value)| (name.into(), value.into()));
                Prepared::Create(Record::new(metadata, fields.collect()))
            }
            Call::Delete => Prepared::Delete,
            Call::Load(names) if names.is_empty() => Prepared::Load(Wanted::All),
            Call::Load(names) => {
                let names = names.into_iter().map(Name::from);
                Prepared::Load(Wanted::Fields(names.collect()))
            }
            Call::Take {
                is_late,
                name,
                has_old_names,
            } => {
                let old_names: &[&str] = if has_old_names && name != "old" {
                    OLD_NAMES
                } else {
                    &[]
                };
                let take = Take::new(id, epoch_of(is_late), name.into(), old_names);
                self.takes.push(take.clone());
                Prepared::Take(take)
            }
            Call::TakeAgain(index) if !self.takes.is_empty() => {
                Prepared::Take(index.get(&self.takes).clone())
            }
            Call::Update {
                is_late,
                changes,
                expected,
                rotates,
                lifetime,
                seconds,
            } => {
                let touched_at = START.plus(Duration::from_secs(seconds));
                let mut update = Update::touch(id, epoch_of(is_late), touched_at, HOUR);
                update.changes = changes;
                update.expected = expected;
                update.lifetime = lifetime;
                if rotates {
                    let mut before = Metadata::created_now(START, HOUR);
                    before.epoch = update.epoch;
                    let digest = self.tokens[0].rotate().unwrap().digest();
                    update.rotation = Some(Rotation::of(&before, digest, touched_at, true));
                }
                self.updates.push(update.clone());
                Prepared::Update(update)
            }
            Call::UpdateAgain(index) if !self.updates.is_empty() => {
                Prepared::Update(index.get(&self.updates).clone())
            }
            Call::TakeAgain(_) | Call::UpdateAgain(_) => Prepared::Load(Wanted::All),
        }
    }

    /// What a client knows after an answer.
    fn learn(&mut self, loaded: &Answer) {
        if let Answer::Loaded(Some((packed, _))) = loaded {
            self.epoch = Metadata::unpack(packed).unwrap().epoch;
        }
    }
}

#[test]
fn both_stores_answer_the_same() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (memory, redis) = (MemoryStore::new(), redis_store());
    let calls = proptest::collection::vec(call(), 1..40);
    let mut runner = TestRunner::new(Config {
        cases: 256,
        failure_persistence: None,
        ..Config::default()
    });
    let compared = runner.run(&calls, |calls| {
        runtime.block_on(async {
            let mut session = Session::new();
            let mut record = Metadata::created_now(START, HOUR);
            record.digest = session.tokens[0].digest();
            let begin = Prepared::Create(Record::new(record, Fields::new()));
            let prepared = std::iter::once(None).chain(calls.into_iter().map(Some));
            for (number, call) in prepared.enumerate() {
                let prepared = match call.clone() {
                    None => &begin,
                    Some(call) => &session.prepare(call),
                };
                for prepared in [prepared, &Prepared::Load(Wanted::All)] {
                    let in_memory = prepared.run(&memory, session.key).await;
                    let in_redis = prepared.run(&redis, session.key).await;
                    prop_assert_eq!(&in_memory, &in_redis, "call {}: {:?}", number, call);
                    session.learn(&in_memory);
                }
            }
            Ok(())
        })
    });
    if let Err(failure) = compared {
        panic!("{failure}");
    }
}
