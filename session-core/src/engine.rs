//! Begins, writes and ends sessions in the store, within a deadline.

use std::collections::HashSet;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::warn;

use crate::changes::Changes;
use crate::clock::{Clock, Timestamp};
use crate::error::Error;
use crate::event::{EventKind, Hook, Reason};
use crate::expiry::Lifetime;
use crate::fields::{Fields, PARENT};
use crate::options::Options;
use crate::plan::{CookieChange, End, Live, Loaded, NoSession, Pending, Renews};
use crate::record::{Metadata, Record};
use crate::schema::SessionData;
use crate::seal::Keyring;
use crate::store::{Created, Delete, Deleted, Key, Rotation, Store, Update, Updated, Wanted};
use crate::token::{SessionId, Token};
use crate::users::{Limit, WhenFull};

mod events;
mod sealing;
pub mod users;

use self::users::Parents;

/// For this long after a new token, the old one counts as a parallel request's, not as a thief's.
const GRACE: Duration = Duration::from_secs(30);

/// How much longer a record stays than its session, so a request that began in time can finish.
const SLACK: Duration = Duration::from_secs(120);

const ATTEMPTS: usize = 3;

/// How long past its deadline a call may answer. The store's own timeout must come first, so it can replace a
/// dead connection.
const ANSWER_SLACK: Duration = Duration::from_millis(100);

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

    pub(crate) async fn load(&self, token: &Token) -> Result<Loaded, Error> {
        let key = self.key(token);
        let Some((record, sealed)) = self.fetch(key, self.deadline()).await? else {
            return Ok(Loaded::None(NoSession::default()));
        };
        let (metadata, now) = (&record.metadata, self.now());
        if self.lifetime.is_expired(metadata, now) {
            return Ok(Loaded::None(NoSession::default()));
        }
        let digests = token.digests();
        if metadata.digests.matches(&digests) {
            return Ok(Loaded::Live(Self::live(token.clone(), record, sealed)));
        }
        let is_recent = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) < GRACE);
        let is_same_login = metadata.digests.login_matches(&digests);
        let stores_nothing = is_recent(metadata.rotated_at);
        let reason = match metadata.rotated_at {
            None => Some(Reason::NeverIssued),
            Some(_) if !stores_nothing => Some(Reason::Replaced),
            Some(_) => None,
        };
        if reason.is_some() {
            self.tell(EventKind::StaleToken, reason, Some(key.id));
        }
        Ok(Loaded::None(NoSession {
            ends: Vec::from_iter(is_same_login.then(|| End {
                key,
                login: Some(digests),
                record: Some(Arc::clone(&record)),
            })),
            stores_nothing,
            refuses_end: !is_same_login && is_recent(metadata.authenticated_at),
            ..NoSession::default()
        }))
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

    pub(crate) async fn begin(
        &self,
        fields: Fields,
        pending: &Pending,
        deadline: Instant,
    ) -> Result<Option<(Live, CookieChange)>, Error> {
        if fields.is_empty() {
            return Ok(None);
        }
        self.create(fields, pending, deadline).await.map(Some)
    }

    /// If the answer is lost, tries another id: nobody has the first one's token.
    pub(crate) async fn create(
        &self,
        fields: Fields,
        pending: &Pending,
        deadline: Instant,
    ) -> Result<(Live, CookieChange), Error> {
        let is_identified = T::SCHEMA.is_identified(&fields);
        let mut record = Record::new(self.begun(pending), fields, Timestamp::default());
        let mut result = Err(Error::store("every new session id was taken"));
        for _ in 0..ATTEMPTS {
            let token = Token::generate()?;
            record.metadata = self.begun(pending);
            let now = record.metadata.created_at;
            record.metadata.authenticated_at = is_identified.then_some(now);
            record.metadata.digests = token.digests();
            record.remove_at = self.store().now().plus(self.ttl(&record.metadata));
            let key = self.key(&token);
            let creating = self.store().create(key, self.sealed_record(key, &record)?);
            result = match self.call("create", key, deadline, creating).await {
                Ok(Created::Done) => {
                    let cookie = self.cookie(&token, &record.metadata);
                    let live = Self::live(token, Arc::new(record), Fields::new());
                    return Ok((live, cookie));
                }
                Ok(Created::Refused) => result,
                Err(error) if error.is_unknown() && Instant::now() < deadline => Err(error),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            };
        }
        if result.as_ref().is_err_and(Error::is_unknown) {
            sleep_until(deadline).await;
        }
        result
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

    /// Sends an update, and again only after `Late`, which is definite. If the outcome is unknown, waits
    /// until the update can no longer happen, and fails.
    pub(crate) async fn send(
        &self,
        key: Key,
        update: &mut Update,
        deadline: Instant,
    ) -> Result<Updated, Error> {
        let mut sealed = self.sealed_update(key, update)?;
        let update = sealed.as_mut().unwrap_or(update);
        for _ in 0..ATTEMPTS {
            update.not_after = self.not_after(deadline);
            let updating = self.store().update(key, update);
            match self.call("update", key, deadline, updating).await {
                Ok(Updated::Late(_)) if Instant::now() < deadline => {}
                Ok(Updated::Late(_)) => break,
                Ok(Updated::Done(answer)) => {
                    let answer = self.opened(key, answer, &update.changes);
                    return Ok(Updated::Done(answer));
                }
                Ok(updated) => return Ok(updated),
                Err(error) => {
                    if error.is_unknown() {
                        sleep_until(deadline).await;
                    }
                    return Err(error);
                }
            }
        }
        Err(Error::store("the store did not get to it in time"))
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

    /// `false` if the session must end. A failure is only logged: it costs a little idle time.
    pub(crate) async fn touch(&self, live: &Live) -> bool {
        if !self.may_extend(live) {
            return true;
        }
        let deadline = self.deadline();
        let mut update = Update::new(live.record.metadata.digests, self.not_after(deadline));
        update.touched_at = Some(self.now());
        update.ttl = self.ttl(&update.metadata_after(&live.record.metadata));
        let touching = async {
            if !self.renew(live, self.remove_at(&update), deadline).await? {
                return Ok(false);
            }
            let updating = self.store().update(live.key, &update);
            self.call("update", live.key, deadline, updating).await?;
            Ok::<_, Error>(true)
        };
        touching.await.unwrap_or_else(|error| {
            let key = live.key;
            warn!("session {key}: its idle time could not be extended: {error}");
            true
        })
    }

    pub(crate) fn remove_at(&self, update: &Update) -> Timestamp {
        self.store().now().plus(update.ttl)
    }

    /// Ends these sessions, except those with another login by now; `true` if all have ended. If the outcome
    /// is unknown, waits until no delete can happen any more, and fails. Without a reason, reports no event.
    pub(crate) async fn end(
        &self,
        ends: &[End],
        reason: Option<Reason>,
        deadline: Instant,
    ) -> Result<bool, Error> {
        let mut are_all = true;
        for end in ends {
            let mut is_unknown = false;
            let mut result = Err(Error::store("the store did not get to it in time"));
            for attempt in 0..ATTEMPTS {
                let not_after = self.not_after(deadline);
                let delete = Delete::new(end.login, not_after);
                let deleting = self.store().delete(end.key, &delete);
                result = match self.call("delete", end.key, deadline, deleting).await {
                    Ok(Deleted::Done) => Ok(true),
                    Ok(Deleted::Other) => Ok(false),
                    Ok(Deleted::Late(_)) => result,
                    Err(error) => Err(error),
                };
                is_unknown |= result.as_ref().is_err_and(Error::is_unknown);
                if result.is_ok() || Instant::now() >= deadline {
                    break;
                }
                sleep(Duration::from_millis(5 << attempt)).await;
            }
            if is_unknown && result.is_err() {
                sleep_until(deadline).await;
                return Err(Error::unknown("nobody knows whether the session was ended"));
            }
            if result? {
                if reason.is_some() {
                    self.tell(EventKind::Ended, reason, Some(end.key.id));
                }
                self.forget(end, deadline).await;
            } else {
                are_all = false;
            }
        }
        Ok(are_all)
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

    /// `deadline` by the store's clock, or a little earlier.
    fn not_after(&self, deadline: Instant) -> Timestamp {
        // In this order, time between the two calls shortens the deadline, never extends it.
        let now = self.store().now();
        let left = deadline.saturating_duration_since(Instant::now());
        Timestamp::from_millis(now.plus(left).as_millis().saturating_sub(1))
    }
}

const MAX_COMPLAINTS: usize = 4096;

/// A call that answers at once needs no timer.
async fn within<R>(
    deadline: Instant,
    call: impl Future<Output = Result<R, Error>>,
) -> Result<R, Error> {
    let mut call = pin!(call);
    match poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
        Poll::Ready(answer) => answer,
        Poll::Pending => match timeout_at(deadline + ANSWER_SLACK, call).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::unknown("the store did not answer in time")),
        },
    }
}

impl<T: SessionData> fmt::Debug for Engine<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("name", &T::SCHEMA.name())
            .field("store", &self.store)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}
