//! `Session<T>`: the session as a handler has it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use std::{mem, thread};

use chrono::{DateTime, Utc};
use session_core::changes::Changes;
use session_core::clock::Timestamp;
use session_core::commit::Pending;
use session_core::error::Error as EngineError;
use session_core::expiry::Expiry;
use session_core::random::random_below;
use session_core::record::{Fields, Metadata, Record};
use session_core::schema::SessionData;
use session_core::token::SessionId;

use crate::error::{Error, TransactError};
use crate::slot::{Slot, View};

/// The session of a request: a request guard that derefs to the application's struct.
///
/// Read and write its fields; what differs at the end of the request is stored, field by field, each
/// merged with what concurrent requests stored by the rule that it was declared with. A request that
/// only reads writes nothing, and for a visitor in whose session nothing differs from the defaults,
/// nothing is stored and no cookie is set.
///
/// ```rust
/// # use rocket::{get, post};
/// use rocket_typed_session::{Session, session};
///
/// #[session(idle = "30m", absolute = "12h")]
/// struct Visit {
///     #[session(counter)]
///     views: u64,
///     #[session(identity)]
///     user: Option<String>,
/// }
///
/// #[get("/")]
/// fn index(mut visit: Session<Visit>) -> String {
///     visit.views += 1;
///     format!("Number of views {}", visit.views)
/// }
///
/// #[post("/login")]
/// fn login(mut visit: Session<Visit>) {
///     // The token changes by itself, since `user` is the identity.
///     visit.user = Some("alice".into());
/// }
/// ```
///
/// # When it is stored
///
/// When the response has been decided and before it is sent: a redirect to another page finds the
/// session saved. Changes of a handler that panicked or answered with a server error (5xx) are
/// dropped; [`destroy`](Self::destroy) and a rotation are executed always. If storing fails, the
/// response becomes a 503 by the application's own catcher.
///
/// A response that is still running, such as a stream, is sent after that: call
/// [`save`](Self::save) there.
///
/// # When the store is down
///
/// The guard fails with 503, and the cookie is left alone. Take a `Result<Session<T>, Error>` to
/// answer something else. Beware of `Option<Session<T>>`: `None` means that the store is down, not
/// that there is no session, which is an empty session.
///
/// # Several guards in one request
///
/// Each has a copy of the data, and they merge like concurrent requests: a guard hands over what it
/// changed when it is dropped, and one that begins later sees it.
pub struct Session<T: SessionData> {
    slot: Arc<Slot<T>>,
    data: T,
    record: Option<Arc<Record>>,
    /// The data as it was encoded before the first `&mut`; `None`: it was never borrowed so.
    ///
    /// Not what was read from the store: the same value may have been encoded in another way, by a
    /// build with another type, or a map that iterates in another order.
    before: Option<Result<Fields, EngineError>>,
}

impl<T: SessionData> Session<T> {
    pub(crate) fn new(slot: Arc<Slot<T>>) -> Result<Self, EngineError> {
        let View { data, record } = slot.view()?;
        Ok(Self {
            slot,
            data,
            record,
            before: None,
        })
    }

    /// Ends the session: it is deleted from the store, its cookie is removed, and no request that
    /// is under way can bring it back. Call it when somebody logs out.
    ///
    /// The session is over for this request: its data is at the defaults, and later changes are
    /// dropped.
    #[doc(alias = "logout")]
    #[doc(alias = "invalidate")]
    #[doc(alias = "purge")]
    #[doc(alias = "flush")]
    pub fn destroy(&mut self) {
        self.request(|pending| pending.destroyed = true);
        self.data = T::SCHEMA.defaults();
        self.before = None;
    }

    /// Gives the session a new token, with the same data and the same [`id`](Self::id); the old one
    /// is dead before the response leaves.
    ///
    /// A change of the `identity` field does it by itself. Call it when a session gains privileges
    /// in another way: a second factor, a role (OWASP ASVS 7.2.4). It does nothing for a session
    /// that is not stored yet.
    #[doc(alias = "regenerate")]
    #[doc(alias = "renew")]
    #[doc(alias = "cycle_id")]
    pub fn rotate_id(&mut self) {
        self.request(|pending| pending.rotate = true);
    }

    /// Sets every field to its default. The session goes on; if somebody was logged in, its token
    /// changes. To end a session, [`destroy`](Self::destroy) it.
    pub fn clear(&mut self) {
        **self = T::SCHEMA.defaults();
    }

    /// Gives this session lifetimes of its own: "remember me".
    ///
    /// The absolute lifetime counts from now; the idle time is kept in whole seconds, and how often
    /// it is extended is in proportion to what the type declares. With
    /// [`Expiry::persistent`] its cookie outlives the browser's session. It lasts until it is called
    /// again, or the session ends; it does nothing for a session in which nothing is stored.
    ///
    /// ```rust
    /// # use std::time::Duration;
    /// # use rocket_typed_session::{Expiry, Session, session};
    /// # #[session] struct Visit { #[session(identity)] user: Option<String> }
    /// # fn login(mut visit: Session<Visit>) {
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    /// visit.user = Some("alice".into());
    /// visit.set_expiry(Expiry::new(14 * DAY, 90 * DAY).persistent());
    /// # }
    /// ```
    #[doc(alias = "remember_me")]
    #[doc(alias = "max_age")]
    pub fn set_expiry(&mut self, expiry: Expiry) {
        self.request(|pending| pending.lifetime = Some(expiry));
    }

    /// Stores what was changed now, not at the end of the request. Most handlers need not call it:
    /// it is for streams, and for those that must know that it is stored before they act.
    ///
    /// Counters have their stored value afterwards, what concurrent requests added included. Where
    /// one user became another, nothing of the previous one is left in this guard either.
    ///
    /// # Errors
    ///
    /// If the store fails, or another request ended the session
    /// ([`Error::is_gone`]). Also where the response has begun and its cookie would have to change:
    /// a stream cannot create, rotate or end a session.
    pub async fn save(&mut self) -> Result<(), Error> {
        let changes = self.take_changes()?;
        let begins_anew = changes.resets();
        let committed = self.slot.save(Pending::of(changes)).await?;
        if begins_anew {
            return Ok(self.refresh()?);
        }
        let now = self.slot.engine.now();
        T::SCHEMA.decode_into(&mut self.data, &committed.merged, now);
        self.record = self.slot.live().map(|live| live.record);
        Ok(())
    }

    /// Reads the session afresh from the store: what other requests stored is seen, what was changed
    /// through this guard and not saved is forgotten.
    ///
    /// # Errors
    ///
    /// If the store fails, or another request ended the session ([`Error::is_gone`]).
    pub async fn reload(&mut self) -> Result<(), Error> {
        self.slot.reload().await?;
        Ok(self.refresh()?)
    }

    /// Changes several fields by what they are, so that nobody else changes them in between.
    ///
    /// Reads the session afresh, calls `change`, and commits only if everything that was read is
    /// unchanged since; else it begins again, after a moment, up to 20 times. So `change` may be
    /// called several times; it sees, and its commit includes, what this request changed before. If
    /// it fails, nothing is written.
    ///
    /// Single fields need it rarely: see the merge rules of [`#[session]`](macro@crate::session).
    ///
    /// ```rust
    /// # use rocket_typed_session::{Session, TransactError, session};
    /// # #[session] struct Game { coins: u32, lives: u32 }
    /// # async fn buy(mut game: Session<Game>) -> Result<(), TransactError<&'static str>> {
    /// game.transact(|game| {
    ///     game.coins = game.coins.checked_sub(10).ok_or("too few coins")?;
    ///     game.lives += 1;
    ///     Ok(())
    /// })
    /// .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// What `change` says, [`TransactError::Conflict`] if others were faster each time, and else why
    /// the session could not be read or stored.
    pub async fn transact<R, E>(
        &mut self,
        mut change: impl FnMut(&mut T) -> Result<R, E>,
    ) -> Result<R, TransactError<E>> {
        let changes = self.take_changes()?;
        // In a stream too, where the commit below is in time for what a dropped guard is late for.
        self.slot.keep(Pending::of(changes))?;
        for attempt in 0..TRANSACTION_ATTEMPTS {
            let mut outcome = None;
            let tried = self.slot.try_transaction(|View { mut data, record }| {
                let before = T::SCHEMA.encode(&data)?;
                let succeeded = outcome.insert(change(&mut data)).is_ok();
                let changes = self
                    .slot
                    .engine
                    .changes(record.as_deref(), &before, &data)?;
                Ok(succeeded.then_some(changes))
            });
            match (tried.await, outcome) {
                (Ok(Some(committed)), _) if committed.gone => {
                    return Err(EngineError::gone().into());
                }
                (Ok(Some(_)), Some(Ok(result))) => {
                    self.refresh()?;
                    return Ok(result);
                }
                (Ok(_), Some(Err(error))) => {
                    self.refresh()?;
                    return Err(TransactError::Aborted(error));
                }
                (Err(error), _) if error.is_conflict() => {
                    tokio::time::sleep(backoff(attempt)?).await;
                }
                (Err(error), _) => return Err(error.into()),
                (Ok(_), _) => break,
            }
        }
        Err(TransactError::Conflict)
    }

    /// The public handle of the session; `None` while nothing is stored.
    ///
    /// It is good for logs and for lists, and alone it opens nothing. It stays the same through
    /// every rotation of the token.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        self.slot.live().map(|live| live.token.id())
    }

    /// Whether nothing is stored of the session yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.slot.live().is_none()
    }

    /// When the session was created; for one that is not stored yet, the time of this request.
    #[must_use]
    pub fn created_at(&self) -> DateTime<Utc> {
        date_time(self.metadata().created_at)
    }

    /// When the session was last used before this request, to within the `touch` interval; for one
    /// that is not stored yet, the time of this request.
    #[must_use]
    pub fn last_seen_at(&self) -> DateTime<Utc> {
        date_time(self.metadata().touched_at)
    }

    /// When the session ends if no other request uses it. What was changed so far in this request is
    /// taken into account.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        let changes = self.changes().unwrap_or_default();
        let metadata = self.slot.metadata_after(changes);
        let metadata = metadata.unwrap_or_else(|| self.metadata());
        date_time(self.slot.engine.expiry().expires_at(&metadata))
    }

    fn metadata(&self) -> Metadata {
        match self.slot.live() {
            Some(live) => live.record.metadata,
            None => {
                let absolute_timeout = self.slot.engine.expiry().absolute_timeout;
                Metadata::created_now(self.slot.opened_at, absolute_timeout)
            }
        }
    }

    fn request(&self, what: impl FnOnce(&mut Pending)) {
        let mut pending = Pending::default();
        what(&mut pending);
        self.hand_over(pending);
    }

    fn hand_over(&self, pending: Pending) {
        if let Err(error) = self.slot.merge(pending) {
            self.slot.fail(error);
        }
    }

    /// What changed since the guard began, or since the last time that was taken.
    fn changes(&self) -> Result<Changes, EngineError> {
        let Some(before) = &self.before else {
            return Ok(Changes::new());
        };
        let before = before.as_ref().map_err(Clone::clone)?;
        let record = self.record.as_deref();
        self.slot.engine.changes(record, before, &self.data)
    }

    fn take_changes(&mut self) -> Result<Changes, EngineError> {
        let changes = self.changes();
        self.before = None;
        changes
    }

    /// Begins anew with what is stored and pending.
    fn refresh(&mut self) -> Result<(), EngineError> {
        let View { data, record } = self.slot.view()?;
        (self.data, self.record, self.before) = (data, record, None);
        Ok(())
    }

    /// The body of the `take_…` methods that `#[session]` generates for `once` fields.
    pub(crate) async fn take_once<V: Default>(
        &mut self,
        name: &'static str,
        field: fn(&mut T) -> &mut V,
    ) -> Result<V, Error> {
        // What this request put there must be stored before one of all requests obtains it.
        if self.changes()?.get(name).is_some() || self.slot.is_field_pending(name) {
            self.save().await?;
        }
        let now = self.slot.engine.now();
        let is_stored = |record: &Record| T::SCHEMA.holds(&record.fields, name, now);
        let live = self.slot.live();
        let taken = match live.is_some_and(|live| is_stored(&live.record)) {
            true => self.slot.take(name).await?,
            false => None,
        };
        if let Some(Ok(before)) = &mut self.before {
            before.remove(name);
        }
        self.record = self.slot.live().map(|live| live.record);
        *field(&mut self.data) = V::default();
        if let Some(value) = taken {
            let taken = [(name.into(), value)].into_iter().collect();
            T::SCHEMA.decode_into(&mut self.data, &taken, now);
        }
        Ok(mem::take(field(&mut self.data)))
    }
}

impl<T: SessionData> Deref for Session<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T: SessionData> DerefMut for Session<T> {
    fn deref_mut(&mut self) -> &mut T {
        if self.before.is_none() {
            self.before = Some(T::SCHEMA.encode(&self.data));
        }
        &mut self.data
    }
}

/// Hands over what was changed. What a panicking handler did is dropped.
impl<T: SessionData> Drop for Session<T> {
    fn drop(&mut self) {
        if self.before.is_none() || thread::panicking() {
            return;
        }
        // Somebody's `Serialize` may panic, and a drop must not.
        match catch_unwind(AssertUnwindSafe(|| self.take_changes())) {
            Ok(Ok(changes)) => self.hand_over(Pending::of(changes)),
            Ok(Err(error)) => self.slot.fail(error),
            Err(_) => self.slot.fail(EngineError::usage(
                "the `Serialize` of a session's field panicked",
            )),
        }
    }
}

/// Shows what is good for logs: not the data.
impl<T: SessionData> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("name", &T::SCHEMA.name())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// How often a transaction is tried.
const TRANSACTION_ATTEMPTS: u32 = 20;

/// How long a transaction waits after it met others: a random time below a bound that doubles.
fn backoff(attempt: u32) -> Result<Duration, EngineError> {
    let bound = 1_u64 << attempt.min(7);
    Ok(Duration::from_micros(random_below(bound * 1000)?))
}

fn date_time(at: Timestamp) -> DateTime<Utc> {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
