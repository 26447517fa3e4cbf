//! The store in memory and the one in Redis answer any sequence of calls alike.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use session_core::changes::{Changes, Expired};
use session_core::clock::Timestamp;
use session_core::expiry::Lifetime;
use session_core::fields::{Fields, Name};
use session_core::merge::{Change, Counter, CounterRange, Extreme};
use session_core::record::{Metadata, Record};
use session_core::store::memory::MemoryStore;
use session_core::store::{
    Created, Delete, Deleted, Expected, Key, Rotation, Store, Update, Updated, Wanted,
};
use session_core::token::Token;

use crate::conformance::redis_store;

const HOUR: Duration = Duration::from_secs(3600);
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const NAMES: &[&str] = &["a", "b", "n", "e:1", "e:2", "old", "older", "@until:n"];
/// Longer than any Rust integer.
const LONGEST: &str = "99999999999999999999999999999999999999999999999999";
const OLD_NAMES: &[&[&str]] = &[&[], &["old"], &["older", "old"]];

#[derive(Clone, Debug)]
enum Call {
    Create {
        fields: Vec<(&'static str, String)>,
        is_of_a_later_version: bool,
        is_over: bool,
    },
    Delete {
        is_late: bool,
        /// `None`: it names no login.
        knows: Option<Knows>,
    },
    Load(Vec<&'static str>),
    Update {
        is_late: bool,
        knows: Knows,
        changes: Changes,
        expected: Option<Expected>,
        renews: Renews,
        lifetime: Option<Lifetime>,
        absolute_deadline: Option<Timestamp>,
        touched_at: Option<Timestamp>,
    },
}

#[derive(Clone, Copy, Debug)]
enum Knows {
    Now,
    OtherLogin,
    OtherVerifier,
}

#[derive(Clone, Copy, Debug)]
enum Renews {
    Login,
    Nothing,
    Verifier,
}

fn call() -> impl Strategy<Value = Call> {
    let name = || proptest::sample::select(NAMES);
    let rarely = || proptest::bool::weighted(0.07);
    let fields = proptest::collection::vec((name(), value()), 0..5);
    let create = (fields, any::<bool>(), rarely());
    let create = create.prop_map(|(fields, is_of_a_later_version, is_over)| Call::Create {
        fields,
        is_of_a_later_version,
        is_over,
    });
    let knows = || {
        prop_oneof![
            20 => Just(Knows::Now),
            1 => Just(Knows::OtherLogin),
            1 => Just(Knows::OtherVerifier),
        ]
    };
    let one_of_all = prop_oneof![
        Just(None),
        Just(Some(Knows::Now)),
        Just(Some(Knows::OtherLogin)),
        Just(Some(Knows::OtherVerifier)),
    ];
    let delete = (rarely(), one_of_all);
    let delete = delete.prop_map(|(is_late, knows)| Call::Delete { is_late, knows });
    let renews = prop_oneof![
        10 => Just(Renews::Nothing),
        1 => Just(Renews::Login),
        1 => Just(Renews::Verifier),
    ];
    let later = || (0_u64..2_000_000).prop_map(|millis| START.plus(Duration::from_millis(millis)));
    let lifetime = (0_u64..100_000, any::<bool>()).prop_map(|(idle, is_persistent)| {
        let lifetime = Lifetime::new(Duration::from_secs(idle), HOUR);
        if is_persistent {
            lifetime.persistent()
        } else {
            lifetime
        }
    });
    let update = (
        (rarely(), knows(), renews),
        changes(),
        proptest::option::weighted(0.2, expected()),
        proptest::option::weighted(0.1, lifetime),
        proptest::option::weighted(0.1, later()),
        proptest::option::weighted(0.5, later()),
    );
    let update = update.prop_map(
        |((is_late, knows, renews), changes, expected, lifetime, absolute_deadline, touched_at)| {
            Call::Update {
                is_late,
                knows,
                changes,
                expected,
                renews,
                lifetime,
                absolute_deadline,
                touched_at,
            }
        },
    );
    prop_oneof![
        2 => create,
        1 => delete,
        2 => proptest::collection::vec(name(), 0..4).prop_map(Call::Load),
        16 => update,
    ]
}

/// Numbers around the limits of every type, and non-numbers.
fn value() -> impl Strategy<Value = String> {
    let limits = [
        0,
        7,
        127,
        128,
        999_999_999,
        99_999_999_999_999,
        1 << 53,
        i128::from(i64::MAX),
        i128::from(u64::MAX),
        i128::MAX - 9,
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
    let junk = &["", "null", "01", "-0", "1.5", "\"1\"", "100", LONGEST][..];
    let junk = proptest::sample::select(junk);
    prop_oneof![6 => near, 6 => (-20_i128..20).prop_map(|n| n.to_string()), 1 => junk.prop_map(String::from)]
}

fn integer() -> impl Strategy<Value = String> {
    value().prop_filter("an integer", |value| {
        let parsed = value.parse::<i128>();
        value == LONGEST || parsed.is_ok_and(|number| number.to_string() == *value)
    })
}

/// No update changes an old name, because no schema does.
fn changes() -> impl Strategy<Value = Changes> {
    let range = prop_oneof![
        Just(CounterRange::new(-128, 127)),
        Just(CounterRange::new(0, i64::MAX)),
        Just(CounterRange::new(i64::MIN, i64::MAX)),
    ];
    let delta = prop_oneof![4 => -20_i64..20, 1 => any::<i64>()];
    let old_names = || proptest::sample::select(OLD_NAMES);
    let add = (range, delta, -5_i64..5, old_names());
    let add = add.prop_map(|(range, delta, base, old_names)| {
        let mut counter = Counter::new(range);
        counter.aliases = old_names;
        Change::Add {
            delta,
            base,
            counter,
        }
    });
    let extreme = prop_oneof![Just(Extreme::Max), Just(Extreme::Min)];
    let extreme = (extreme, integer());
    let change = prop_oneof![
        3 => add,
        4 => extreme.prop_map(|(extreme, value)| Change::Extreme(extreme, value.into())),
        3 => value().prop_map(|value| Change::Set(value.into())),
        2 => old_names().prop_map(|aliases| Change::Take { aliases }),
        1 => Just(Change::Unset),
    ];
    let changing = proptest::sample::select(&["a", "b", "n", "e:1", "e:2", "@until:n"][..]);
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

#[derive(Debug, PartialEq)]
enum Answer {
    Created(Created),
    Deleted,
    /// Covers `Gone`: a late update of an absent session may answer either.
    Late,
    Loaded(Option<(Vec<u8>, Readable)>),
    OfAnotherLogin,
    Updated(Updated, Readable),
}

type Readable = Vec<(String, String)>;

fn readable(fields: &Fields) -> Readable {
    let readable = |value: &[u8]| value.escape_ascii().to_string();
    let fields = fields.iter();
    fields
        .map(|(name, value)| (name.to_string(), readable(value)))
        .collect()
}

/// The ids and digests are the same for both stores.
enum Prepared {
    Create(Record),
    Delete(Delete),
    Load(Wanted),
    Update(Update),
}

impl Prepared {
    async fn run(&self, store: &dyn Store, key: Key) -> Answer {
        match self {
            Self::Create(record) => {
                Answer::Created(store.create(key, record.clone()).await.unwrap())
            }
            Self::Delete(delete) => match store.delete(key, delete).await.unwrap() {
                Deleted::Done => Answer::Deleted,
                Deleted::Other => Answer::OfAnotherLogin,
                Deleted::Late(_) => Answer::Late,
            },
            Self::Load(wanted) => {
                let loaded = store.load(key, wanted).await.unwrap();
                Answer::Loaded(loaded.map(|record| {
                    // A store may load more than is wanted.
                    let is_wanted = |name: &str| match wanted {
                        Wanted::All => true,
                        Wanted::Fields(names) => names.iter().any(|wanted| *wanted == name),
                    };
                    let mut fields = readable(&record.fields);
                    fields.retain(|(name, _)| is_wanted(name));
                    (record.metadata.pack(), fields)
                }))
            }
            Self::Update(update) => match store.update(key, update).await.unwrap() {
                Updated::Done(answer) => {
                    Answer::Updated(Updated::Done(Fields::new()), readable(&answer))
                }
                Updated::Gone | Updated::Late(_) if is_late(update.not_after) => Answer::Late,
                refused => Answer::Updated(refused, Vec::new()),
            },
        }
    }
}

fn not_after(is_late: bool) -> Timestamp {
    if is_late {
        START
    } else {
        Timestamp::from_millis(u64::MAX)
    }
}

fn is_late(not_after: Timestamp) -> bool {
    not_after == START
}

struct Session {
    key: Key,
    /// The token that the client knows.
    token: Token,
    renewed: Vec<Token>,
}

impl Session {
    fn new() -> Self {
        let token = Token::generate().unwrap();
        Self {
            key: Key::new("differential", token.id()),
            token,
            renewed: Vec::new(),
        }
    }

    fn prepare(&mut self, call: Call) -> Prepared {
        match call {
            Call::Create {
                fields,
                is_of_a_later_version,
                is_over,
            } => {
                let token = self.renew(Renews::Login);
                let mut metadata = Metadata::created_now(START, HOUR);
                metadata.digests = token.digests();
                if is_of_a_later_version {
                    let mut packed = metadata.pack();
                    packed[0] = 2;
                    packed.extend(b"later");
                    metadata = Metadata::unpack(&packed).unwrap();
                }
                let fields = fields.into_iter();
                let fields = fields.map(|(name, value)| (name.into(), value));
                let remove_at = if is_over {
                    START
                } else {
                    Timestamp::from_millis(u64::MAX)
                };
                Prepared::Create(Record::new(metadata, fields.collect(), remove_at))
            }
            Call::Delete { is_late, knows } => {
                let login = knows.map(|knows| self.known(knows).digests());
                Prepared::Delete(Delete::new(login, not_after(is_late)))
            }
            Call::Load(names) if names.is_empty() => Prepared::Load(Wanted::All),
            Call::Load(names) => {
                let names = names.into_iter().map(Name::from);
                Prepared::Load(Wanted::Fields(names.collect()))
            }
            Call::Update {
                is_late,
                knows,
                changes,
                expected,
                renews,
                lifetime,
                absolute_deadline,
                touched_at,
            } => {
                let known = self.known(knows);
                let mut update = Update::new(known.digests(), not_after(is_late));
                update.changes = changes;
                update.expected = expected;
                update.lifetime = lifetime;
                update.absolute_deadline = absolute_deadline;
                update.touched_at = touched_at;
                update.ttl = HOUR;
                let digests = self.renew(renews).digests();
                let at = START.plus(Duration::from_millis(1234));
                update.rotation = match renews {
                    Renews::Nothing => None,
                    Renews::Verifier => Some(Rotation::new(digests, at, false)),
                    Renews::Login => Some(Rotation::new(digests, at, true)),
                };
                Prepared::Update(update)
            }
        }
    }

    fn known(&self, knows: Knows) -> Token {
        match knows {
            Knows::Now => self.token.clone(),
            Knows::OtherLogin => self.token.log_in().unwrap(),
            Knows::OtherVerifier => self.token.rotate().unwrap(),
        }
    }

    fn renew(&mut self, renews: Renews) -> Token {
        let token = match renews {
            Renews::Login => self.token.log_in().unwrap(),
            Renews::Nothing => self.token.clone(),
            Renews::Verifier => self.token.rotate().unwrap(),
        };
        self.renewed.push(token.clone());
        token
    }

    fn learn(&mut self, loaded: &Answer) {
        if let Answer::Loaded(Some((packed, _))) = loaded {
            let stored = Metadata::unpack(packed).unwrap().digests;
            let mut renewed = std::mem::take(&mut self.renewed).into_iter();
            let is_stored = |token: &Token| token.digests().matches(&stored);
            if let Some(token) = renewed.find(is_stored) {
                self.token = token;
            }
        }
    }
}

#[test]
fn both_stores_answer_the_same() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (memory, redis) = (MemoryStore::new(), runtime.block_on(redis_store()));
    let calls = proptest::collection::vec(call(), 1..40);
    let mut runner = TestRunner::new(Config {
        cases: 256,
        failure_persistence: None,
        ..Config::default()
    });
    let compared = runner.run(&calls, |calls| {
        runtime.block_on(async {
            let mut session = Session::new();
            let begin = Call::Create {
                fields: Vec::new(),
                is_of_a_later_version: false,
                is_over: false,
            };
            for (number, call) in std::iter::once(begin).chain(calls).enumerate() {
                for prepared in [session.prepare(call.clone()), Prepared::Load(Wanted::All)] {
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
