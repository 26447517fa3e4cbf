use std::fmt;
use std::mem;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use session_core::changes::Changes;
use session_core::clock::Timestamp;
use session_core::error::Error as EngineError;
use session_core::expiry::Lifetime;
use session_core::fields::Fields;
use session_core::random::random_below;
use session_core::request::{RequestSession, View};
use session_core::schema::{Identified, SessionData};
use session_core::token::SessionId;
use session_core::value::IdentityValue;

use self::data::Fresh;
use crate::error::{Error, TransactError};

mod data;

/// The session of a request: a request guard that derefs to your struct.
///
/// After the handler returns and before the response is sent, the fields that changed are stored, merged with
/// what concurrent requests stored. If the handler panics or the response is a server error (5xx), the
/// changes are dropped, but [`destroy`](Self::destroy) and [`rotate_token`](Self::rotate_token) take effect.
/// A stream must [`save`](Self::save). While all fields have their defaults, nothing is stored and no cookie
/// is set.
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
///     // The token changes by itself, because `user` is the identity.
///     visit.log_in("alice".into());
/// }
/// ```
///
/// # When the store is down
///
/// The guard fails with 503, and the cookie stays. If storing fails, your own catcher answers, with the
/// status of the [`Error`]. Take a `Result<Session<T>, Error>` to answer something else. In an
/// `Option<Session<T>>`, `None` means an outage, or a request that [`CsrfFairing`](crate::CsrfFairing)
/// refuses: a visitor without a session has an empty one.
///
/// # Several guards in one request
///
/// Each has its own copy of the data, and hands over its changes when it is dropped. A guard that begins
/// later sees them; otherwise they merge like those of concurrent requests. When one ends the session or
/// changes the user, the others show the request's current session. They drop the changes that they still
/// hold, with a warning, and their `save` fails with [`Error::is_gone`]. A borrow such as `let visit = &mut
/// *guard` that outlives an assignment of another user still writes to the old one; [`log_in`](Self::log_in)
/// has no such gap.
pub struct Session<T: SessionData> {
    request: Arc<RequestSession<T>>,
    view: View<T>,
    /// `None` before the first `&mut`. Not what the store held, which may encode the same value differently.
    before: Option<Result<Fields, EngineError>>,
    earlier: Changes,
    next_user: OnceLock<Box<T>>,
    /// After another guard has ended this session.
    fresh: OnceLock<Box<Fresh<T>>>,
}

impl<T: SessionData> Session<T> {
    pub(crate) fn new(request: Arc<RequestSession<T>>) -> Result<Self, EngineError> {
        let view = request.view()?;
        Ok(Self {
            request,
            view,
            before: None,
            earlier: Changes::new(),
            next_user: OnceLock::new(),
            fresh: OnceLock::new(),
        })
    }

    /// Ends the session: a logout.
    ///
    /// The cookie is removed, and no request under way can bring the session back. For the rest of this
    /// request, the data has its defaults and changes are dropped. To leave a notice for the next page,
    /// assign `None` to the `identity` field instead: that ends the session too, and begins a new one with
    /// what this request wrote.
    ///
    /// If the outcome is unknown, the response is 503: send the logout again.
    #[doc(alias = "logout")]
    #[doc(alias = "invalidate")]
    #[doc(alias = "purge")]
    #[doc(alias = "flush")]
    pub fn destroy(&mut self) {
        self.ask(|pending| pending.destroyed = true);
        if let Err(error) = self.refresh() {
            self.request.fail(error);
        }
    }

    /// Gives the session a new token, with the same data and [`id`](Self::id). The old token is dead before
    /// the response leaves.
    ///
    /// A login does this by itself. Call it on other privilege gains: a second factor, a role (OWASP ASVS
    /// 7.2.4). It does nothing for a session that is not stored.
    #[doc(alias = "rotate_id")]
    #[doc(alias = "regenerate")]
    #[doc(alias = "renew")]
    #[doc(alias = "cycle_id")]
    pub fn rotate_token(&mut self) {
        self.ask(|pending| pending.rotate = true);
    }

    /// Logs in a user who has just authenticated.
    ///
    /// The session gets a new token and a new absolute lifetime, and
    /// [`authenticated_at`](Self::authenticated_at) is now, even for a user who was already logged in. If
    /// another user was, the session ends and the guard shows a new one, with what this request wrote and the
    /// fields declared `keep`.
    ///
    /// Then write what belongs to the new user: earlier values that equal the previous user's are
    /// lost.
    ///
    /// Assigning another user to the `identity` field does the same; assigning the same user does nothing.
    ///
    /// ```rust
    /// # use rocket::post;
    /// # use rocket_typed_session::{Session, session};
    /// # #[session] struct Visit { #[session(identity)] user: Option<String> }
    /// #[post("/login/<user>")]
    /// fn login(mut visit: Session<Visit>, user: String) {
    ///     // … check the password, then:
    ///     visit.log_in(user);
    /// }
    /// ```
    pub fn log_in(&mut self, user: <T::Identity as IdentityValue>::User)
    where
        T: Identified,
    {
        *(**self).identity() = T::Identity::somebody(user);
        let logged_in = self
            .take_changes()
            .and_then(|changes| self.request.log_in(changes, &self.view.data));
        if let Err(error) = logged_in.and_then(|()| self.refresh()) {
            self.request.fail(error);
        }
    }

    /// Sets every field to its default, and ends the session if somebody is logged in. An anonymous session
    /// goes on, with the same token; [`destroy`](Self::destroy) ends any.
    pub fn clear(&mut self) {
        **self = T::SCHEMA.defaults();
    }

    /// "Remember me": the session lives for the declared `remember`, 30 days by default, and its cookie outlives
    /// the browser's session. Requests do not extend that time. It holds until the session ends, even after
    /// later logins of the same user; [`set_lifetime`](Self::set_lifetime) changes it. It does nothing for a
    /// session without data.
    #[doc(alias = "remember_me")]
    pub fn remember(&mut self) {
        let lifetime = self.request.engine().remembered();
        self.set_lifetime(lifetime);
    }

    /// Gives this session its own lifetime, until you call it again or the session ends.
    ///
    /// The absolute timeout counts from now; a later login starts the declared one, unless this one ends
    /// later. The idle timeout is in whole seconds, at least one; `touch` scales with it. With
    /// [`Lifetime::persistent`], the cookie outlives the browser's session. It does nothing without data.
    ///
    /// ```rust
    /// # use std::time::Duration;
    /// # use rocket_typed_session::{Lifetime, Session, session};
    /// # #[session] struct Visit { #[session(identity)] user: Option<String> }
    /// # fn login(mut visit: Session<Visit>) {
    /// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    /// visit.log_in("alice".into());
    /// visit.set_lifetime(Lifetime::new(14 * DAY, 90 * DAY).persistent());
    /// # }
    /// ```
    #[doc(alias = "max_age")]
    #[doc(alias = "set_expiry")]
    pub fn set_lifetime(&mut self, lifetime: Lifetime) {
        self.ask(|pending| pending.lifetime = Some(lifetime));
    }

    /// Sets the label in the list of a user's sessions, if this request logs somebody in: at most 200
    /// non-control characters. With the option `devices`, the default is the `User-Agent`.
    pub fn set_label(&mut self, label: &str) {
        self.request.set_label(crate::managed::label(label));
    }

    /// Stores the changes now: for streams, and for handlers that act only on a stored session.
    ///
    /// Afterwards, counters, `max` and `min` show what concurrent requests did. If the user changed, the
    /// guard shows the new session.
    ///
    /// # Errors
    ///
    /// Except for `is_unknown`, nothing was stored.
    ///
    /// - [`Error::is_gone`]: the session ended, its token was replaced by another request, or another guard
    ///   of this request changed the user.
    /// - [`Error::is_unknown`]: nobody knows whether it was stored. It is not tried again.
    /// - [`Error::is_store`] otherwise: the store failed. The end of the request tries again.
    /// - [`Error::is_too_large`], [`Error::is_encode`] or [`Error::is_overflow`]: a value cannot be stored.
    /// - Any other: a stream cannot create, rotate or end a session; or the cookies of a logout do not say
    ///   which session to end.
    pub async fn save(&mut self) -> Result<(), Error> {
        if self.catch_up() {
            return Err(EngineError::gone().into());
        }
        self.go_on_with_next_user();
        let changes = self.take_changes()?;
        // Before the first `await`, so a caller who stops waiting loses nothing.
        (self.view.epoch, self.view.logins) = self.request.keep(changes)?;
        let committed = self.request.save().await?;
        if committed.began {
            return Ok(self.refresh()?);
        }
        self.view.record = self.request.record();
        let now = self.request.engine().now();
        T::SCHEMA.decode_into(&mut self.view.data, &committed.answer, now);
        Ok(())
    }

    /// Reads the session from the store again. This guard's unsaved changes are lost.
    ///
    /// # Errors
    ///
    /// If the store fails, or if another request ended the session or replaced its token
    /// ([`Error::is_gone`]).
    pub async fn reload(&mut self) -> Result<(), Error> {
        self.request.reload().await?;
        Ok(self.refresh()?)
    }

    /// Makes a change that depends on several fields, while nobody else changes them.
    ///
    /// It reads the session again, calls `change`, and commits if what it read is unchanged. Otherwise it
    /// tries again, up to 20 times, so `change` may run several times, and should only change its argument.
    /// This request's earlier changes are included. If `change` fails, none of its own are written.
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
    /// [`TransactError::Aborted`] with the error of `change`, [`TransactError::Conflict`] if other
    /// requests were faster each time, [`TransactError::Failed`] if the session could not be read or
    /// stored.
    pub async fn transact<R, E>(
        &mut self,
        mut change: impl FnMut(&mut T) -> Result<R, E>,
    ) -> Result<R, TransactError<E>> {
        self.catch_up();
        self.go_on_with_next_user();
        let changes = self.take_changes()?;
        // In a stream, the drop of the guard would be too late.
        (self.view.epoch, self.view.logins) = self.request.keep(changes)?;
        for attempt in 0..TRANSACTION_ATTEMPTS {
            let mut outcome = None;
            let tried = self.request.try_transaction(|view| {
                let View {
                    mut data, record, ..
                } = view;
                let before = T::SCHEMA.encode(&data)?;
                let succeeded = outcome.insert(change(&mut data)).is_ok();
                let engine = self.request.engine();
                let changes = engine.changes(record.as_deref(), &before, &data)?;
                Ok(succeeded.then_some(changes))
            });
            match (tried.await, outcome) {
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

    /// The public handle of the session, for logs and lists; `None` while nothing is stored.
    ///
    /// It opens nothing, stays the same when the token changes, and belongs to one user for life.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        self.request.id()
    }

    /// Whether nothing of the session is stored yet.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.request.id().is_none()
    }

    /// When the session was created; the time of this request if it is not stored yet.
    #[must_use]
    pub fn created_at(&self) -> DateTime<Utc> {
        date_time(self.request.metadata().created_at)
    }

    /// When the session was last used, to within `touch`; the time of this request if it is not stored yet.
    #[must_use]
    pub fn last_seen_at(&self) -> DateTime<Utc> {
        date_time(self.request.metadata().touched_at)
    }

    /// When the user logged in, in whole seconds; `None` if nobody has, or the login is not saved yet. Ask
    /// for the password again after too long (OWASP ASVS 7.5.1).
    #[must_use]
    pub fn authenticated_at(&self) -> Option<DateTime<Utc>> {
        self.request.metadata().authenticated_at.map(date_time)
    }

    pub(crate) fn is_anybody(&self) -> bool {
        T::SCHEMA.user_in(self).is_some()
    }

    pub(crate) fn logged_in_within(&self, within: Duration) -> bool {
        let at = self.request.metadata().authenticated_at;
        at.is_some_and(|at| self.request.engine().now().since(at) <= within)
    }

    /// When the session ends if no other request uses it, with this request's changes so far.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        let changes = match self.is_stale() {
            true => Changes::new(),
            false => self.changes().unwrap_or_default(),
        };
        let metadata = self.request.metadata_after(changes);
        date_time(self.request.engine().lifetime().expires_at(&metadata))
    }

    pub(crate) async fn take_once<V: Default>(
        &mut self,
        name: &'static str,
        field: fn(&mut T) -> &mut V,
    ) -> Result<V, Error> {
        self.catch_up();
        // A write to the field, and a login, must be stored before any request gets the value.
        if self.request.is_before_take(&self.changes()?, name) {
            self.save().await?;
        }
        let now = self.request.engine().now();
        let record = self.request.record();
        let taken = match record.is_some_and(|record| T::SCHEMA.holds(&record.fields, name, now)) {
            true => self.request.take(name).await?,
            false => None,
        };
        if let Some(Ok(before)) = &mut self.before {
            before.remove(name);
        }
        self.view.record = self.request.record();
        *field(&mut self.view.data) = V::default();
        if let Some(value) = taken {
            let taken = [(name.into(), value)].into_iter().collect();
            T::SCHEMA.decode_into(&mut self.view.data, &taken, now);
        }
        Ok(mem::take(field(&mut self.view.data)))
    }
}

/// Not the data, so it is fit for logs.
impl<T: SessionData> fmt::Debug for Session<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("name", &T::SCHEMA.name())
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

const TRANSACTION_ATTEMPTS: u32 = 20;

/// A random time below a bound that doubles.
fn backoff(attempt: u32) -> Result<Duration, EngineError> {
    let bound = 1_u64 << attempt.min(7);
    Ok(Duration::from_micros(random_below(bound * 1000)?))
}

pub(crate) fn date_time(at: Timestamp) -> DateTime<Utc> {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(millis).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
