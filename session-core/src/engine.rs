//! Opens a session and commits what a request did to it: asks [`plan`], then acts on its answer.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use log::warn;

use crate::changes::Changes;
use crate::clock::{Clock, Timestamp};
use crate::commit::{Action, Committed, CookieChange, Live, Opened, Pending, Prepared, UpdateOf};
use crate::error::Error;
use crate::expiry::{Expiry, Lifetime};
use crate::recent::CommitId;
use crate::record::{Fields, Metadata, Record};
use crate::schema::SessionData;
use crate::state::{Commit, CookieStep, Origin, Plan, State, plan};
use crate::store::{Created, Key, Rotation, Store, Take, Taken, Update, Updated, Wanted};
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
    wanted: Wanted,
    data: PhantomData<fn() -> T>,
}

impl<T: SessionData> Engine<T> {
    /// The sessions of type `T` in `store`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, expiry: Expiry) -> Self {
        Self {
            store,
            clock,
            expiry,
            wanted: T::SCHEMA.wanted(),
            data: PhantomData,
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
        let Some(record) = self.store.load(key, &self.wanted).await? else {
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
        if metadata.epoch == 0 {
            warn!("session {key}: a request brought a token with this id that nobody issued");
            return Ok(Opened::Stale);
        }
        let since_rotation = now.since(metadata.rotated_at);
        if since_rotation < GRACE {
            return Ok(Opened::StaleInGrace);
        }
        warn!(
            "session {key}: a request brought a token that was rotated away, {since_rotation:.0?} \
             ago or before: it is replayed, or stolen"
        );
        Ok(Opened::Stale)
    }

    /// What turns the session that was encoded as `before` into `data`, where `record` is what the
    /// store held when it was read.
    ///
    /// # Errors
    ///
    /// If a field cannot be encoded, or a counter moved further than it can count.
    pub fn changes(
        &self,
        record: Option<&Record>,
        before: &Fields,
        data: &T,
    ) -> Result<Changes, Error> {
        const NOTHING: &Fields = &Fields::new();
        let stored = record.map_or(NOTHING, |record| &record.fields);
        let after = T::SCHEMA.encode(data)?;
        T::SCHEMA.changes(stored, before, &after, self.now())
    }

    /// Whether the commit of this would change the cookie.
    #[must_use]
    pub fn changes_cookie(&self, opened: &Opened, pending: &Pending) -> bool {
        self.plan(opened, pending, self.now()).cookie != CookieStep::Keep
    }

    /// Decides what becomes of what a request did to the session that it opened.
    ///
    /// # Errors
    ///
    /// If the request wanted to end a session whose token another one was rotating: it must not
    /// pass for done. Also if the operating system has no randomness to give.
    pub fn prepare(&self, opened: Opened, pending: &Pending) -> Result<Prepared, Error> {
        let now = self.now();
        let plan = self.plan(&opened, pending, now);
        let action = match (plan.commit, opened) {
            (Commit::Create, _) => self.prepare_create(pending, now)?,
            (Commit::Delete, Opened::Live(live)) => Action::Delete(vec![self.key(&live.token)]),
            (Commit::Delete, Opened::Several(keys) | Opened::Over(keys)) => Action::Delete(keys),
            (Commit::Refuse, _) => return Err(Error::gone()),
            (Commit::Touch, Opened::Live(live)) => self.prepare_touch(live, now)?,
            (Commit::Update { rotate, write }, Opened::Live(live)) => {
                let pending = Some(pending).filter(|_| write);
                let sets_cookie = plan.cookie == CookieStep::Set;
                self.prepare_update(live, pending, rotate, sets_cookie, now)?
            }
            (_, opened) => {
                let over = matches!(opened, Opened::Over(_) | Opened::StaleInGrace);
                let dropped = over && !pending.is_empty();
                Action::Nothing { opened, dropped }
            }
        };
        // Without a session there is nothing to delete, but there may be a cookie to remove.
        let action = match action {
            Action::Nothing { .. } if plan.cookie == CookieStep::Remove => Action::RemoveCookie,
            action => action,
        };
        Ok(Prepared(action))
    }

    /// The same decision, to be done only if everything that was read is still stored as it was.
    #[must_use]
    pub fn expecting(&self, prepared: Prepared) -> Prepared {
        let mut action = prepared.0;
        if let Action::Update(of) = &mut action {
            of.update.expected = Some(T::SCHEMA.expected(&of.live.record.fields));
        }
        Prepared(action)
    }

    /// Takes the value of the field `name` out of a living session: the session after it, and the
    /// value where this call obtained it.
    ///
    /// # Errors
    ///
    /// If the store fails, or another request ended the session or rotated its token.
    pub async fn take(&self, live: &Live, name: &str) -> Result<(Live, Option<Vec<u8>>), Error> {
        let field = T::SCHEMA.fields().iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| Error::usage("no field of this name is stored"))?;
        let id = CommitId::generate(self.now())?;
        let epoch = live.record.metadata.epoch;
        let take = Take::new(id, epoch, field.name.into(), field.aliases);
        match self.store.take(self.key(&live.token), &take).await? {
            Taken::Done(value) => {
                let mut record = Record::clone(&live.record);
                take.names().for_each(|name| record.fields.remove(name));
                Ok((Live::new(live.token.clone(), record), value))
            }
            Taken::Gone => Err(Error::gone()),
        }
    }

    /// Does what was decided: at most one call to the store, atomic there. Doing it again does it
    /// once: after a failure of which the outcome is unknown, and after none at all.
    ///
    /// # Errors
    ///
    /// If the store fails, or a counter would leave its range: nothing is to be told to the browser
    /// then. After a time-out it is unknown whether it was done.
    pub async fn execute(&self, prepared: &Prepared) -> Result<Committed, Error> {
        match &prepared.0 {
            Action::Create(token, record, ttl) => self.create(token, record, *ttl).await,
            Action::Delete(keys) => {
                for key in keys {
                    self.store.delete(*key).await?;
                }
                Ok(Committed {
                    cookie: CookieChange::Remove,
                    ..Committed::of(Opened::Over(keys.clone()))
                })
            }
            Action::Nothing { opened, dropped } => {
                if *dropped {
                    warn!(
                        "session type {}: dropped what a request did after its session was over, \
                         or its token was rotated away",
                        T::SCHEMA.name()
                    );
                }
                Ok(Committed {
                    gone: *dropped,
                    ..Committed::of(opened.clone())
                })
            }
            Action::RemoveCookie => Ok(Committed {
                cookie: CookieChange::Remove,
                ..Committed::of(Opened::Over(Vec::new()))
            }),
            Action::Touch(live, update) => Ok(self.touch(live, update).await),
            Action::Update(of) => self.update(of).await,
        }
    }

    fn plan(&self, opened: &Opened, pending: &Pending, now: Timestamp) -> Plan {
        let origin = match opened {
            Opened::Absent => Origin::Absent,
            Opened::Live(live) => Origin::Live {
                touch_due: self.expiry.touch_due(&live.record.metadata, now),
            },
            Opened::Over(_) => Origin::Over,
            Opened::Several(_) => Origin::Several,
            Opened::Stale => Origin::Stale,
            Opened::StaleInGrace => Origin::StaleInGrace,
        };
        plan(State {
            origin,
            changed: !pending.changes.is_empty(),
            identity_changed: T::SCHEMA.identity_change(&pending.changes).is_some(),
            lifetime_changed: pending.lifetime.is_some(),
            rotate: pending.rotate,
            destroyed: pending.destroyed,
            failed: pending.failed,
        })
    }

    fn prepare_create(&self, pending: &Pending, now: Timestamp) -> Result<Action, Error> {
        let mut fields = Fields::new();
        pending.changes.apply(&mut fields)?;
        if fields.is_empty() {
            let opened = Opened::Absent;
            return Ok(Action::Nothing {
                opened,
                dropped: false,
            });
        }
        let token = Token::generate()?;
        let lifetime = pending.lifetime.as_ref();
        let expiry = lifetime.unwrap_or(&self.expiry);
        let metadata = Metadata {
            digest: token.digest(),
            identified: T::SCHEMA.identity_change(&pending.changes) == Some(true),
            lifetime: lifetime.map(Lifetime::of).unwrap_or_default(),
            ..Metadata::created_now(now, expiry.absolute_timeout)
        };
        let ttl = self.ttl(&metadata, now);
        Ok(Action::Create(token, Record::new(metadata, fields), ttl))
    }

    fn prepare_touch(&self, live: Live, now: Timestamp) -> Result<Action, Error> {
        let metadata = Metadata {
            touched_at: now,
            ..live.record.metadata
        };
        let ttl = self.ttl(&metadata, now);
        let update = Update::touch(CommitId::generate(now)?, metadata.epoch, now, ttl);
        Ok(Action::Touch(live, update))
    }

    /// `pending` is `None` where the data is dropped, and only the token rotates.
    fn prepare_update(
        &self,
        live: Live,
        pending: Option<&Pending>,
        rotate: bool,
        sets_cookie: bool,
        now: Timestamp,
    ) -> Result<Action, Error> {
        let before = &live.record.metadata;
        let token = if rotate {
            live.token.rotate()?
        } else {
            live.token.clone()
        };
        let changes = pending
            .map(|pending| pending.changes.clone())
            .unwrap_or_default();
        let identity = T::SCHEMA.identity_change(&changes);
        let identified = identity.unwrap_or(before.identified);
        let (absolute_deadline, lifetime) = match pending.and_then(|pending| pending.lifetime) {
            Some(own) => (
                Some(now.plus(own.absolute_timeout)),
                Some(Lifetime::of(&own)),
            ),
            None => self.renewed(before, identity, now),
        };
        let mut update = Update {
            changes,
            rotation: rotate.then(|| Rotation::of(before, token.digest(), now, identified)),
            absolute_deadline,
            lifetime,
            ..Update::touch(CommitId::generate(now)?, before.epoch, now, Duration::ZERO)
        };
        update.ttl = self.ttl(&update.metadata_after(before), now);
        Ok(Action::Update(Box::new(UpdateOf {
            live,
            token,
            update,
            sets_cookie,
        })))
    }

    /// The absolute deadline and the lifetime of a session in which somebody logs in or out.
    fn renewed(
        &self,
        before: &Metadata,
        identity: Option<bool>,
        now: Timestamp,
    ) -> (Option<Timestamp>, Option<Lifetime>) {
        let renewed = now.plus(self.expiry.absolute_timeout);
        match identity {
            // "Remember me" was said by somebody who is not here any more.
            Some(_) if before.identified => (Some(renewed), Some(Lifetime::default())),
            // A login begins a new life: it must not end because its anonymous past was long.
            Some(true) => (Some(renewed.max(before.absolute_deadline)), None),
            Some(false) | None => (None, None),
        }
    }

    async fn create(
        &self,
        token: &Token,
        record: &Record,
        ttl: Duration,
    ) -> Result<Committed, Error> {
        let (mut token, mut record) = (token.clone(), record.clone());
        for _ in 0..CREATE_ATTEMPTS {
            let created = self.store.create(self.key(&token), record.clone(), ttl);
            if created.await? == Created::Done {
                let cookie = self.cookie(&token, &record.metadata);
                let opened = Opened::Live(Live::new(token, record));
                return Ok(Committed {
                    cookie,
                    ..Committed::of(opened)
                });
            }
            token = Token::generate()?;
            record.metadata.digest = token.digest();
        }
        Err(Error::store(
            "every new session id was taken: the random source repeats itself",
        ))
    }

    /// A touch that fails costs the session a little of its idle time: it is logged, no more.
    async fn touch(&self, live: &Live, update: &Update) -> Committed {
        let key = self.key(&live.token);
        if let Err(error) = self.store.update(key, update).await {
            warn!("session {key}: its idle time could not be extended: {error}");
        }
        Committed::of(Opened::Live(live.clone()))
    }

    async fn update(&self, of: &UpdateOf) -> Result<Committed, Error> {
        let UpdateOf {
            live,
            token,
            update,
            sets_cookie,
        } = of;
        let key = self.key(token);
        match self.store.update(key, update).await? {
            Updated::Conflict => Err(Error::conflict()),
            Updated::Done(merged) => {
                let metadata = update.metadata_after(&live.record.metadata);
                let cookie = match sets_cookie {
                    true => self.cookie(token, &metadata),
                    false => CookieChange::Keep,
                };
                // What this request knows: what it read, what it wrote, and what the store said.
                let mut fields = live.record.fields.clone();
                update.changes.write(&mut fields, &merged);
                let opened = Opened::Live(Live::new(token.clone(), Record::new(metadata, fields)));
                Ok(Committed {
                    cookie,
                    merged,
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
                    ..Committed::of(Opened::Over(vec![key]))
                })
            }
        }
    }

    fn cookie(&self, token: &Token, metadata: &Metadata) -> CookieChange {
        CookieChange::Set {
            token: token.clone(),
            max_age: self.expiry.cookie_max_age(metadata, self.now()),
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
