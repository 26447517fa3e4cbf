//! The sessions of one type: their settings, and the updates that a request's changes become.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::changes::Changes;
use crate::clock::{Clock, Timestamp};
use crate::error::Error;
use crate::event::Hook;
use crate::expiry::Lifetime;
use crate::fields::{Fields, PARENT};
use crate::options::Options;
use crate::plan::{CookieChange, Live, Pending, Renews};
use crate::record::{Metadata, Record};
use crate::schema::SessionData;
use crate::seal::Keyring;
use crate::store::{Key, Rotation, Store, Update, Wanted};
use crate::token::{SessionId, Token};
use crate::users::{Limit, WhenFull};

mod calls;
mod events;
mod sealing;
pub mod users;

use self::users::Parents;

/// How much longer a record stays than its session, so a request that began in time can finish.
const SLACK: Duration = Duration::from_secs(120);

/// The sessions of one type.
pub struct Engine<T: SessionData> {
    store: Arc<dyn Store>,
    clock: Option<Arc<dyn Clock>>,
    lifetime: Lifetime,
    remember: Duration,
    max_size: usize,
    is_indexed: bool,
    limit: Option<Limit>,
    keyring: Option<Keyring>,
    hook: Hook,
    wanted: Wanted,
    parent: Option<Arc<dyn Parents>>,
    has_children: AtomicBool,
    complaints: Mutex<HashSet<(SessionId, String)>>,
    data: PhantomData<fn() -> T>,
}

impl<T: SessionData> Engine<T> {
    /// Sessions in `store`, by its clock.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, lifetime: Lifetime) -> Self {
        Self {
            store,
            clock: None,
            lifetime,
            remember: Options::REMEMBER,
            max_size: Options::MAX_SIZE,
            is_indexed: true,
            limit: None,
            keyring: None,
            hook: Hook::default(),
            wanted: match T::SCHEMA.wanted() {
                Wanted::Fields(names) if T::has_parent() => {
                    let names = names.iter().cloned();
                    Wanted::Fields(names.chain([PARENT.into()]).collect())
                }
                wanted => wanted,
            },
            parent: None,
            has_children: AtomicBool::new(false),
            complaints: Mutex::default(),
            data: PhantomData,
        }
    }

    /// Sets a clock, for tests.
    #[must_use]
    pub fn clock(self, clock: Option<Arc<dyn Clock>>) -> Self {
        Self { clock, ..self }
    }

    /// Sets the maximum size in bytes.
    #[must_use]
    pub fn max_size(self, max_size: usize) -> Self {
        Self { max_size, ..self }
    }

    /// Turns off the index of users.
    #[must_use]
    pub fn not_indexed(self) -> Self {
        Self {
            is_indexed: false,
            ..self
        }
    }

    /// Sets the limit per user.
    #[must_use]
    pub fn limit(self, limit: Option<Limit>) -> Self {
        Self { limit, ..self }
    }

    /// Reports events to this hook.
    #[must_use]
    pub fn on_event(self, hook: Hook) -> Self {
        Self { hook, ..self }
    }

    /// Seals encrypted fields with these keys.
    #[must_use]
    pub fn keyring(self, keyring: Option<Keyring>) -> Self {
        Self { keyring, ..self }
    }

    /// Ends these sessions with those of `parent`.
    #[must_use]
    pub fn parent(self, parent: Option<Arc<Engine<T::Parent>>>) -> Self {
        let parent = parent.map(|parent| -> Arc<dyn Parents> {
            parent.has_children.store(true, Ordering::SeqCst);
            parent
        });
        Self { parent, ..self }
    }

    pub(crate) fn has_children(&self) -> bool {
        self.has_children.load(Ordering::SeqCst)
    }

    /// The limit per user, in words for operators.
    #[must_use]
    pub fn describe_limit(&self) -> String {
        self.limit.map_or_else(String::new, |limit| {
            let then = match limit.when_full {
                WhenFull::EndOldest => "the oldest ends",
                WhenFull::Refuse => "one more is refused",
            };
            format!("; at most {} for each user, {then}", limit.max)
        })
    }

    /// The encrypted fields, in words for operators.
    #[must_use]
    pub fn describe_encryption(&self) -> String {
        let names: Vec<&str> = T::SCHEMA.encrypted().collect();
        match self.keyring.as_ref().map_or(0, Keyring::len) {
            _ if names.is_empty() => String::new(),
            1 => format!("; `{}` encrypted", names.join("`, `")),
            keys => format!("; `{}` encrypted, {keys} keys open", names.join("`, `")),
        }
    }

    /// Sets the lifetime of sessions that remember their visitor.
    #[must_use]
    pub fn remember(self, remember: Duration) -> Self {
        Self { remember, ..self }
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let clock = self.clock.as_ref();
        clock.map_or_else(|| self.store().now(), |clock| clock.now())
    }

    /// The lifetime of a session without its own.
    #[must_use]
    pub fn lifetime(&self) -> &Lifetime {
        &self.lifetime
    }

    /// The lifetime of a session that remembers its visitor.
    #[must_use]
    pub fn remembered(&self) -> Lifetime {
        Lifetime::new(self.remember, self.remember).persistent()
    }

    /// The `Arc` is a `Store` too, but boxes each call once more.
    fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The store, in words for operators.
    #[must_use]
    pub fn describe_store(&self) -> String {
        self.store().describe()
    }

    /// The changes from `before` to `data`. `record` is what the request loaded. Refuses what cannot be
    /// encoded, read back or counted, or is too large.
    pub fn changes(
        &self,
        record: Option<&Record>,
        before: &Fields,
        data: &T,
    ) -> Result<Changes, Error> {
        const NOTHING: &Fields = &Fields::new();
        let stored = record.map_or(NOTHING, |record| &record.fields);
        let after = T::SCHEMA.encode(data)?;
        let mut changes = T::SCHEMA.changes(stored, before, &after, self.now())?;
        if let Some(identity) = T::SCHEMA.identity()
            && changes.get(identity.name).is_some()
            && !T::SCHEMA.changes_identity(before, data)
        {
            // The same user, encoded differently.
            changes.forget(identity.name);
        }
        for field in T::SCHEMA.fields() {
            field.check_storable(data, |name| changes.get(name).and_then(|_| after.get(name)))?;
        }
        if !changes.is_empty() {
            T::SCHEMA.check_sizes(&changes)?;
            let size = after.size();
            if size > self.max_size && size > before.size() {
                return Err(Error::too_large("the session", size, self.max_size));
            }
        }
        Ok(changes)
    }

    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.store().timeout()
    }

    pub(crate) fn key(&self, token: &Token) -> Key {
        Key::new(T::SCHEMA.name(), token.id())
    }

    pub(crate) fn touch_due(&self, live: &Live) -> bool {
        let metadata = &live.record.metadata;
        self.lifetime.touch_due(metadata, self.now())
    }

    /// The session from a copy in this process. Only a living one counts: anything else must come from the
    /// store.
    pub(crate) fn near(&self, token: &Token) -> Option<Live> {
        let key = self.key(token);
        let (record, sealed) = self.opened_record(key, self.store().near(key, &self.wanted)?);
        let is_expired = self.lifetime.is_expired(&record.metadata, self.now());
        let is_alive = !is_expired && record.metadata.digests.matches(&token.digests());
        is_alive.then(|| {
            self.count_near();
            Self::live(token.clone(), record, sealed)
        })
    }

    fn live(token: Token, record: Arc<Record>, sealed: Fields) -> Live {
        let is_identified =
            record.metadata.authenticated_at.is_some() || T::SCHEMA.is_identified(&record.fields);
        Live {
            key: Key::new(T::SCHEMA.name(), token.id()),
            token,
            record,
            sealed,
            is_identified,
        }
    }

    /// The metadata of a new session, without the digests.
    pub(crate) fn begun(&self, pending: &Pending) -> Metadata {
        let lifetime = pending.lifetime.as_ref();
        let absolute_timeout = lifetime.unwrap_or(&self.lifetime).absolute_timeout;
        let mut metadata = Metadata::created_now(self.now(), absolute_timeout);
        if let Some(lifetime) = lifetime {
            metadata.set_lifetime(lifetime);
        }
        metadata
    }

    /// The update of a living session, and the token afterwards.
    pub(crate) fn update(
        &self,
        live: &Live,
        pending: &Pending,
        renews: Renews,
        data: bool,
    ) -> Result<(Token, Update), Error> {
        let now = self.now();
        let before = &live.record.metadata;
        let mut update = Update::new(before.digests, Timestamp::default());
        if data {
            update.changes = pending.changes.clone();
            update.lifetime = pending.lifetime;
        }
        let token = match renews {
            Renews::Login => live.token.log_in()?,
            Renews::Nothing => live.token.clone(),
            Renews::Verifier => live.token.rotate()?,
        };
        if renews != Renews::Nothing {
            update.rotation = Some(Rotation {
                digests: token.digests(),
                at: now,
                is_login: renews == Renews::Login,
            });
        }
        update.absolute_deadline = match (&update.lifetime, renews) {
            (Some(own), _) => Some(now.plus(own.absolute_timeout)),
            // A login begins a new life: a long anonymous past must not end it.
            (None, Renews::Login) => Some(now.plus(self.lifetime.absolute_timeout)),
            (None, Renews::Nothing | Renews::Verifier) => None,
        };
        if update.absolute_deadline.is_some() || update.rotation.is_some() || self.touch_due(live) {
            update.touched_at = Some(now);
            update.ttl = self.ttl(&update.metadata_after(before));
        }
        if renews == Renews::Login && self.is_indexed() {
            update.loaded_lifetime = Some(before.pack_lifetime());
        }
        let extends = update.touched_at.is_some() && renews != Renews::Login;
        if extends && !self.may_extend(live) {
            (update.touched_at, update.ttl) = (None, Duration::ZERO);
        }
        Ok((token, update))
    }

    /// Changes the record in place if nobody else needs the old one.
    pub(crate) fn written(
        mut live: Live,
        token: Token,
        metadata: Metadata,
        update: &Update,
        answer: &Fields,
    ) -> Live {
        let record = Arc::make_mut(&mut live.record);
        update.changes.overlay(&mut record.fields, answer);
        record.metadata = metadata;
        // A transaction loads the session again, and so learns the sealed values.
        let sealed = Fields::new();
        Self::live(token, live.record, sealed)
    }

    pub(crate) fn cookie_after(
        &self,
        token: &Token,
        metadata: &Metadata,
        update: &Update,
    ) -> CookieChange {
        match update.rotation.is_some() || update.lifetime.is_some() {
            true => self.cookie(token, metadata),
            false => CookieChange::Keep,
        }
    }

    pub(crate) fn remove_at(&self, update: &Update) -> Timestamp {
        self.store().now().plus(update.ttl)
    }

    /// Logs it once, not on each request.
    pub(crate) fn complain(&self, id: SessionId, what: String) {
        let mut known = self
            .complaints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_COMPLAINTS {
            known.clear();
        }
        if !known.contains(&(id, what.clone())) {
            warn!("session {}:{id}: {what}", T::SCHEMA.name());
            known.insert((id, what));
        }
    }

    fn cookie(&self, token: &Token, metadata: &Metadata) -> CookieChange {
        CookieChange::Set {
            token: token.clone(),
            max_age: self.lifetime.cookie_max_age(metadata, self.now()),
        }
    }

    fn ttl(&self, metadata: &Metadata) -> Duration {
        let left = self.lifetime.expires_at(metadata).since(self.now());
        left.saturating_add(SLACK)
    }
}

const MAX_COMPLAINTS: usize = 4096;

impl<T: SessionData> fmt::Debug for Engine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("name", &T::SCHEMA.name())
            .field("store", &self.store)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}
