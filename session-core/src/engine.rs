//! Opens a session and commits what a request did to it: asks [`plan`], then acts on its answer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use log::warn;

use crate::changes::Changes;
use crate::clock::{Clock, Timestamp};
use crate::error::Error;
use crate::expiry::{Expiry, Lifetime};
use crate::record::{Fields, Metadata, Record};
use crate::schema::SessionData;
use crate::state::{Commit, CookieStep, Origin, Plan, State, plan};
use crate::store::{Created, Key, Rotation, Store, Update, Updated};
use crate::token::Token;

/// For how long after a rotation a request with the token of before it is taken for a parallel one
/// of the same browser, not for a thief's.
const GRACE: Duration = Duration::from_secs(30);

/// How much longer than its session a record is kept, so that a request that began in time can
/// finish.
const SLACK: Duration = Duration::from_secs(120);

/// How often a token that met an existing session's id is made anew. With 128 random bits, once is
/// once too often.
const CREATE_ATTEMPTS: usize = 3;

/// The sessions of one type: where they are stored, how long they live, and what time it is.
pub struct Engine<T: SessionData> {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    expiry: Expiry,
    names: Vec<&'static str>,
    data: std::marker::PhantomData<fn() -> T>,
}

/// What a token opened.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "every caller decides for each")]
pub enum Opened {
    /// Nothing: there is no token, or none that a living session knows.
    Absent,
    /// A living session.
    Live(Live),
    /// Nothing, and nothing more: this request ended the session, or another one ended it or
    /// rotated its token a moment ago.
    Over,
    /// Nothing: the token was rotated away long ago.
    Stale,
}

/// A living session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Live {
    /// The token that opens it.
    pub token: Token,
    /// What the store held when it was read.
    pub record: Arc<Record>,
}

/// What a request did to a session that is not committed yet.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Pending {
    /// What changed in its data.
    pub changes: Changes,
    /// The lifetime that it got of its own.
    pub lifetime: Option<Expiry>,
    /// Whether a new token was asked for.
    pub rotate: bool,
    /// Whether it was ended.
    pub destroyed: bool,
    /// Whether the handler panicked, or the response is a server error.
    pub failed: bool,
}

impl Pending {
    /// These changes, and nothing else.
    #[must_use]
    pub fn of(changes: Changes) -> Self {
        Self {
            changes,
            ..Self::default()
        }
    }

    /// Adds what the same request did later. Nothing comes after the end of a session.
    ///
    /// # Errors
    ///
    /// If a counter would leave its range; nothing is added then.
    pub fn merge(&mut self, later: Self) -> Result<(), Error> {
        if self.destroyed {
            return Ok(());
        }
        self.changes.merge(later.changes)?;
        self.lifetime = later.lifetime.or(self.lifetime);
        self.rotate |= later.rotate;
        self.destroyed = later.destroyed;
        Ok(())
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.lifetime.is_none() && !self.rotate && !self.destroyed
    }
}

/// What a commit left.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Committed {
    /// The session as it is now.
    pub opened: Opened,
    /// What the response is to say about the cookie.
    pub cookie: CookieChange,
    /// The values that the counters which moved have now.
    pub counters: Fields,
    /// Whether changes were dropped: another request had ended the session or rotated its token.
    pub gone: bool,
}

/// What a response is to say about the cookie.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_enums, reason = "whoever acts on it acts on each")]
pub enum CookieChange {
    /// Nothing.
    #[default]
    Keep,
    /// That it is to be removed.
    Remove,
    /// That it carries this token.
    Set {
        /// The token.
        token: Token,
        /// For how long; `None`: for as long as the browser's session.
        max_age: Option<Duration>,
    },
}

impl<T: SessionData> Engine<T> {
    /// The sessions of type `T` in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, expiry: Expiry) -> Self {
        Self {
            store,
            clock,
            expiry,
            names: T::SCHEMA.stored_names(),
            data: std::marker::PhantomData,
        }
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The key of the session that a token opens.
    #[must_use]
    pub fn key(&self, token: &Token) -> Key {
        Key::new(T::SCHEMA.name(), token.id())
    }

    /// How long sessions live that have no lifetime of their own.
    #[must_use]
    pub fn expiry(&self) -> &Expiry {
        &self.expiry
    }

    /// What the store is, for an operator's eyes.
    #[must_use]
    pub fn describe_store(&self) -> String {
        self.store.describe()
    }

    /// Reads the session that a token opens: one call to the store.
    ///
    /// # Errors
    ///
    /// If the store fails. That the session does not exist is no error.
    pub async fn open(&self, token: &Token) -> Result<Opened, Error> {
        let key = self.key(token);
        let Some(record) = self.store.load(key, &self.names).await? else {
            return Ok(Opened::Absent);
        };
        let metadata = &record.metadata;
        let now = self.now();
        if self.expiry.is_expired(metadata, now) {
            return Ok(Opened::Absent);
        }
        if metadata.digest.matches(&token.digest()) {
            let token = token.clone();
            return Ok(Opened::Live(Live { token, record }));
        }
        let since_rotation = now.since(metadata.rotated_at);
        if metadata.rotated_at != Timestamp::default() && since_rotation < GRACE {
            return Ok(Opened::Over);
        }
        warn!(
            "session {key}: a request brought a token that is not the session's; \
             it was rotated away, {since_rotation:.0?} ago at least, and replayed or stolen since"
        );
        Ok(Opened::Stale)
    }

    /// Whether the commit of this would change the cookie.
    #[must_use]
    pub fn changes_cookie(&self, opened: &Opened, pending: &Pending) -> bool {
        self.plan(opened, pending, self.now()).cookie != CookieStep::Keep
    }

    fn plan(&self, opened: &Opened, pending: &Pending, now: Timestamp) -> Plan {
        plan(State {
            origin: self.origin(opened, now),
            changed: !pending.changes.is_empty(),
            identity_changed: T::SCHEMA.identity_change(&pending.changes).is_some(),
            lifetime_changed: pending.lifetime.is_some(),
            rotate: pending.rotate,
            destroyed: pending.destroyed,
            failed: pending.failed,
        })
    }

    /// Commits what a request did to the session that it opened: at most one call to the store,
    /// atomic there.
    ///
    /// # Errors
    ///
    /// If the store fails, or a counter would leave its range: nothing is to be told to the browser
    /// then. After a time-out it is unknown whether it was done.
    pub async fn commit(&self, opened: Opened, pending: &Pending) -> Result<Committed, Error> {
        let now = self.now();
        let identity = T::SCHEMA.identity_change(&pending.changes);
        let plan = self.plan(&opened, pending, now);
        let committed = match (plan.commit, opened) {
            (Commit::Create, _) => self.create(pending, identity, now).await?,
            (Commit::Delete, Opened::Live(live)) => {
                self.store.delete(self.key(&live.token)).await?;
                Committed::of(Opened::Over)
            }
            (Commit::Touch, Opened::Live(live)) => self.touch(live, now).await,
            (Commit::Update { rotate, write }, Opened::Live(live)) => {
                let identity = identity.filter(|_| write);
                let pending = Some(pending).filter(|_| write);
                self.update(live, pending, rotate, identity, now).await?
            }
            (Commit::Delete | Commit::Nothing | Commit::Touch | Commit::Update { .. }, opened) => {
                let gone = matches!(opened, Opened::Over) && !pending.is_empty();
                if gone {
                    warn!(
                        "session type {}: dropped what a request did after its session was over",
                        T::SCHEMA.name()
                    );
                }
                Committed {
                    gone,
                    ..Committed::of(opened)
                }
            }
        };
        let cookie = match (plan.cookie, &committed.opened) {
            (CookieStep::Set, Opened::Live(live)) => CookieChange::Set {
                token: live.token.clone(),
                max_age: self.expiry.cookie_max_age(&live.record.metadata, now),
            },
            (CookieStep::Remove, _) => CookieChange::Remove,
            (CookieStep::Keep | CookieStep::Set, _) => CookieChange::Keep,
        };
        Ok(Committed {
            cookie,
            ..committed
        })
    }

    async fn create(
        &self,
        pending: &Pending,
        identity: Option<bool>,
        now: Timestamp,
    ) -> Result<Committed, Error> {
        let mut fields = Fields::new();
        pending.changes.apply(&mut fields)?;
        if fields.is_empty() {
            return Ok(Committed::of(Opened::Absent));
        }
        let expiry = pending.lifetime.as_ref().unwrap_or(&self.expiry);
        let mut record = Record::new(
            Metadata {
                identified: identity.unwrap_or(false),
                lifetime: pending
                    .lifetime
                    .as_ref()
                    .map(own_lifetime)
                    .unwrap_or_default(),
                ..Metadata::created_now(now, expiry.absolute_timeout)
            },
            fields,
        );
        let ttl = self.ttl(&record.metadata, now);
        for _ in 0..CREATE_ATTEMPTS {
            let token = Token::generate()?;
            record.metadata.digest = token.digest();
            let created = self.store.create(self.key(&token), record.clone(), ttl);
            if created.await? == Created::Done {
                let record = Arc::new(record);
                return Ok(Committed::of(Opened::Live(Live { token, record })));
            }
        }
        Err(Error::store(
            "every new session id was taken: the random source repeats itself",
        ))
    }

    /// A touch that fails costs the session a little of its idle time: it is logged, no more.
    async fn touch(&self, live: Live, now: Timestamp) -> Committed {
        let key = self.key(&live.token);
        let metadata = Metadata {
            touched_at: now,
            ..live.record.metadata
        };
        let update = Update::touch(metadata.epoch, now, self.ttl(&metadata, now));
        if let Err(error) = self.store.update(key, &update).await {
            warn!("session {key}: its idle time could not be extended: {error}");
        }
        Committed::of(Opened::Live(live))
    }

    async fn update(
        &self,
        live: Live,
        pending: Option<&Pending>,
        rotate: bool,
        identity: Option<bool>,
        now: Timestamp,
    ) -> Result<Committed, Error> {
        let before = &live.record.metadata;
        let token = if rotate {
            live.token.rotate()?
        } else {
            live.token
        };
        let lifetime = pending.and_then(|pending| pending.lifetime.as_ref());
        let identified = identity.unwrap_or(before.identified);
        let absolute_deadline = match lifetime {
            Some(expiry) => Some(now.plus(expiry.absolute_timeout)),
            // A login begins a new life: it must not end because its anonymous past was long.
            None if identity == Some(true) => {
                let renewed = now.plus(self.expiry.absolute_timeout);
                Some(renewed.max(before.absolute_deadline))
            }
            None => None,
        };
        let mut update = Update {
            changes: pending
                .map(|pending| pending.changes.clone())
                .unwrap_or_default(),
            rotation: rotate.then(|| Rotation::of(before, token.digest(), now, identified)),
            absolute_deadline,
            lifetime: lifetime.map(own_lifetime),
            ..Update::touch(before.epoch, now, Duration::ZERO)
        };
        let metadata = update.metadata_after(before);
        update.ttl = self.ttl(&metadata, now);
        let key = self.key(&token);
        match self.store.update(key, &update).await? {
            Updated::Done(counters) => {
                // What this request knows: what it read, what it wrote, and what the store said.
                let mut fields = live.record.fields.clone();
                update.changes.write(&mut fields, &counters);
                let record = Arc::new(Record::new(metadata, fields));
                let opened = Opened::Live(Live { token, record });
                Ok(Committed {
                    counters,
                    ..Committed::of(opened)
                })
            }
            Updated::Gone => {
                warn!(
                    "session {key}: dropped what a request did, since another one had ended the \
                     session or rotated its token in the meantime"
                );
                Ok(Committed {
                    gone: true,
                    ..Committed::of(Opened::Over)
                })
            }
        }
    }

    fn origin(&self, opened: &Opened, now: Timestamp) -> Origin {
        match opened {
            Opened::Absent => Origin::Absent,
            Opened::Live(live) => Origin::Live {
                touch_due: self.expiry.touch_due(&live.record.metadata, now),
            },
            Opened::Stale => Origin::Stale,
            Opened::Over => Origin::Over,
        }
    }

    fn ttl(&self, metadata: &Metadata, now: Timestamp) -> Duration {
        let left = self.expiry.expires_at(metadata).since(now);
        left.saturating_add(SLACK)
    }
}

impl<T: SessionData> fmt::Debug for Engine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("name", &T::SCHEMA.name())
            .field("store", &self.store)
            .field("expiry", &self.expiry)
            .finish_non_exhaustive()
    }
}

impl Committed {
    fn of(opened: Opened) -> Self {
        Self {
            opened,
            cookie: CookieChange::Keep,
            counters: Fields::new(),
            gone: false,
        }
    }
}

fn own_lifetime(expiry: &Expiry) -> Lifetime {
    Lifetime {
        idle_timeout: Some(expiry.idle_timeout),
        persistent: Some(expiry.persistent),
    }
}
