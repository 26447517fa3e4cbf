//! The real code. Cookies, records and users are numbered, so a state is a few bytes.

mod visit;

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use self::visit::Visit;
pub(super) use self::visit::{Doing, User};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::{Clock, Timestamp};
use crate::engine::Engine;
use crate::expiry::Lifetime;
use crate::fields::Fields;
use crate::plan::{Live, Loaded, Pending, Renews};
use crate::record::Record;
use crate::schema::SessionData;
use crate::store::memory::MemoryStore;
use crate::store::{Delete, Key, Store, Update};
use crate::token::Token;

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Cookie {
    pub(super) id: u8,
    pub(super) login: u8,
    pub(super) verifier: u8,
}

/// The number of a record's bytes; 0: no record.
pub(super) type Stored = u16;

pub(super) const ABSENT: Stored = 0;

#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) views: u64,
    pub(super) user: User,
    /// In whose name the note was written.
    pub(super) author: User,
}

pub(super) struct Real {
    engine: Engine<Visit>,
    store: Arc<MemoryStore>,
    clock: Arc<Dial>,
    tokens: RefCell<HashMap<Cookie, Token>>,
    records: RefCell<Vec<(Arc<Record>, Said)>>,
    numbers: RefCell<HashMap<Vec<u8>, Stored>>,
}

impl Real {
    pub(super) fn new() -> Self {
        let clock = Arc::new(Dial::default());
        let store = Arc::new(MemoryStore::with_clock(clock.clone()));
        Self {
            engine: Engine::new(store.clone(), Lifetime::default()),
            store,
            clock,
            tokens: RefCell::default(),
            records: RefCell::default(),
            numbers: RefCell::default(),
        }
    }

    pub(super) fn set_now(&self, now: Timestamp) {
        self.clock.0.store(now.as_millis(), Ordering::Relaxed);
    }

    pub(super) fn token(&self, cookie: Cookie) -> Token {
        let mut tokens = self.tokens.borrow_mut();
        let token = tokens.entry(cookie).or_insert_with(|| {
            let halves = [cookie.id, cookie.login, cookie.verifier].map(|number| [number; 16]);
            let text = URL_SAFE_NO_PAD.encode(halves.as_flattened());
            Token::parse(text.as_bytes()).unwrap()
        });
        token.clone()
    }

    pub(super) fn key(&self, cookie: Cookie) -> Key {
        self.engine.key(&self.token(cookie))
    }

    pub(super) fn record(&self, stored: Stored) -> Option<Arc<Record>> {
        let index = usize::from(stored).checked_sub(1)?;
        self.records
            .borrow()
            .get(index)
            .map(|known| Arc::clone(&known.0))
    }

    pub(super) fn said(&self, stored: Stored) -> Option<Said> {
        let index = usize::from(stored).checked_sub(1)?;
        self.records.borrow().get(index).map(|known| known.1)
    }

    /// No session of these worlds ends by its age, so records that differ only in their times get the same
    /// number.
    pub(super) fn number(&self, mut record: Record) -> Stored {
        record.remove_at = FAR;
        record.metadata.created_at = START;
        record.metadata.touched_at = START;
        record.metadata.absolute_deadline = FAR;
        let bytes = record.to_bytes();
        let mut numbers = self.numbers.borrow_mut();
        if let Some(known) = numbers.get(&bytes) {
            return *known;
        }
        let count = record.fields.get("views").unwrap_or(b"0");
        let said = Said {
            views: str::from_utf8(count).unwrap().parse().unwrap(),
            user: User::of(&record.fields, "user").unwrap_or(User::Nobody),
            author: User::of(&record.fields, "note").unwrap_or(User::Nobody),
        };
        let record = Record::from_bytes(&bytes).unwrap();
        let mut records = self.records.borrow_mut();
        records.push((Arc::new(record), said));
        let number = Stored::try_from(records.len()).unwrap();
        numbers.insert(bytes, number);
        number
    }

    pub(super) fn opens(&self, cookie: Cookie, stored: Stored) -> bool {
        let digests = self.token(cookie).digests();
        let record = self.record(stored);
        record.is_some_and(|record| record.metadata.digests.matches(&digests))
    }

    /// Whether a cookie belongs to this record's login.
    pub(super) fn is_of_login(&self, cookie: Cookie, stored: Stored) -> bool {
        let digests = self.token(cookie).digests();
        let record = self.record(stored);
        record.is_some_and(|record| record.metadata.digests.login_matches(&digests))
    }

    /// `Engine::load`.
    pub(super) fn load(&self, cookie: Cookie, stored: Stored) -> Loaded {
        let (_, loaded) = self.on(cookie, stored, |_, _| {
            finished(self.engine.load(&self.token(cookie))).unwrap()
        });
        loaded
    }

    /// Calls the memory store, which holds just this record. Returns also what it holds afterwards.
    pub(super) fn on<R>(
        &self,
        cookie: Cookie,
        stored: Stored,
        action: impl FnOnce(&MemoryStore, Key) -> R,
    ) -> (Stored, R) {
        let key = self.key(cookie);
        if let Some(record) = self.record(stored) {
            finished(self.store.create(key, (*record).clone())).unwrap();
        }
        let result = action(&self.store, key);
        let all = &crate::store::Wanted::All;
        let after = finished(self.store.load(key, all)).unwrap();
        finished(self.store.delete(key, &Delete::new(None, FAR))).unwrap();
        let after = after.map_or(ABSENT, |record| self.number((*record).clone()));
        (after, result)
    }

    /// `Engine::update`, and the cookie after it.
    pub(super) fn update(
        &self,
        cookie: Cookie,
        live: &Live,
        pending: &Pending,
        (renews, data): (Renews, bool),
        secret: u8,
    ) -> (Cookie, Update) {
        let (_, mut update) = self.engine.update(live, pending, renews, data).unwrap();
        let after = match renews {
            Renews::Login => Cookie {
                login: secret,
                verifier: secret,
                ..cookie
            },
            Renews::Nothing => cookie,
            Renews::Verifier => Cookie {
                verifier: secret,
                ..cookie
            },
        };
        if let Some(rotation) = &mut update.rotation {
            rotation.digests = self.token(after).digests();
        }
        (after, update)
    }

    /// `RequestSession::begin_with`: the fields of a session that begins beside another.
    pub(super) fn begin_with(&self, other: Option<&Live>, pending: &Pending) -> Fields {
        let other = other.map_or_else(Fields::new, |live| live.record.fields.clone());
        Visit::SCHEMA.begin(&other, &pending.changes).unwrap()
    }

    /// `Engine::begin` up to its `create`.
    pub(super) fn begun(&self, cookie: Cookie, fields: Fields, pending: &Pending) -> Record {
        let mut record = Record::new(self.engine.begun(pending), fields, Timestamp::default());
        if Visit::SCHEMA.is_identified(&record.fields) {
            record.metadata.authenticated_at = Some(record.metadata.created_at);
        }
        record.remove_at = FAR;
        record.metadata.digests = self.token(cookie).digests();
        record
    }

    /// This user's session, with a note of theirs.
    pub(super) fn session_of(&self, cookie: Cookie, user: User) -> Stored {
        let logs_in = (user != User::Nobody).then_some(user);
        let doing = Doing {
            adds: true,
            writes: true,
            logs_in,
            ..Doing::default()
        };
        let pending = doing.pending(user);
        self.number(self.begun(cookie, self.begin_with(None, &pending), &pending))
    }
}

pub(super) const START: Timestamp = Timestamp::from_millis(1_000_000_000);

/// The latest time that a record can hold.
const FAR: Timestamp = Timestamp::from_millis((1 << 48) - 1);

#[derive(Debug)]
struct Dial(AtomicU64);

impl Default for Dial {
    fn default() -> Self {
        Self(AtomicU64::new(START.as_millis()))
    }
}

impl Clock for Dial {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Only for calls that never wait, such as the memory store's.
pub(super) fn finished<R>(call: impl Future<Output = R>) -> R {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the memory store waits for nothing"),
    }
}
