use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rocket::Request;
use rocket::http::Status;
use rocket::response::{self, Responder};
use session_core::error::Error as EngineError;
use session_core::event::{EventKind, Reason, TARGET};
use session_core::plan::Pending;
use session_core::request::RequestSession;
use session_core::schema::SessionData;
use tracing::{error, warn};

/// Why a session could not be read or stored.
///
/// It is a responder, so `session.save().await?` works in a handler. Your own catcher answers:
///
/// - 503 if the store or another request is to blame, so trying again may help
/// - 413 [if a value is too large](Self::is_too_large)
/// - 409 [if the user has too many sessions](Self::is_full)
/// - 403 [if the request may come from another site](Self::is_csrf)
/// - 401 [if a parent session is missing](Self::is_without_parent)
/// - the declared status [if a guard turned the request away](Self::is_denied)
/// - 500 otherwise
///
/// Neither `Display` nor `Debug` shows a token, session data or a password.
#[derive(Clone)]
pub struct Error {
    error: EngineError,
    session: Option<Arc<dyn End>>,
    denied: Option<Status>,
}

impl Error {
    /// Whether the store was unreachable or too slow, or refused. Also true for an unknown outcome.
    #[must_use]
    pub fn is_store(&self) -> bool {
        self.error.is_store()
    }

    /// Whether nobody knows if a commit was done. It was done once or not at all, will not happen later, and
    /// is not tried again.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.error.is_unknown()
    }

    /// Whether another request ended the session or replaced its token. Nothing was stored.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.error.is_gone()
    }

    /// Whether other requests changed the session during each try of a transaction. Nothing was stored.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        self.error.is_conflict()
    }

    /// Whether [`CsrfFairing`](crate::CsrfFairing) refused the request. Nothing was read or stored.
    #[must_use]
    pub fn is_csrf(&self) -> bool {
        self.error.is_csrf()
    }

    /// Whether a field declared with `on_unreadable = "error"` could not be read.
    #[must_use]
    pub fn is_decode(&self) -> bool {
        self.error.is_decode()
    }

    /// Whether a field's value cannot be written as JSON or read back from it. Nothing was stored.
    #[must_use]
    pub fn is_encode(&self) -> bool {
        self.error.is_encode()
    }

    /// Whether a counter would leave the range of its type. Nothing was stored.
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        self.error.is_overflow()
    }

    /// Whether a logout was refused, because its cookies do not say which session to end; a retry has the
    /// new cookie. Nothing was done.
    ///
    /// Also true for a refused login: log in again if all sessions of the user were ended meanwhile; send it
    /// again if the token of its parent session was just replaced.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.error.is_refused()
    }

    /// Whether `when_full = "refuse"` refused a login, because the user has `max_sessions` sessions.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.error.is_full()
    }

    /// Whether a session could not begin, because the visitor has no session of its `parent`. Nothing was
    /// stored.
    #[must_use]
    pub fn is_without_parent(&self) -> bool {
        self.error.is_without_parent()
    }

    /// Whether a field or the whole session would exceed its `max_size`. The old value stays.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        self.error.is_too_large()
    }

    /// Whether a declared guard turned the request away.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.denied.is_some()
    }

    /// Ends the session that the guard could not read ([`is_decode`](Self::is_decode)), like
    /// [`Session::destroy`](crate::Session::destroy), so that a logout works. Does nothing for any other
    /// error.
    ///
    /// ```rust
    /// # use rocket::{post, response::Redirect};
    /// # use rocket_typed_session::{Error, Session, session};
    /// # #[session] struct Visit { #[session(on_unreadable = "error")] level: u8 }
    /// #[post("/logout")]
    /// fn logout(visit: Result<Session<Visit>, Error>) -> Result<Redirect, Error> {
    ///     match visit {
    ///         Ok(mut visit) => visit.destroy(),
    ///         Err(error) if error.is_decode() => error.destroy(),
    ///         Err(error) => return Err(error),
    ///     }
    ///     Ok(Redirect::to("/"))
    /// }
    /// ```
    pub fn destroy(&self) {
        if let Some(session) = self.session.as_ref().filter(|_| self.is_decode()) {
            session.end();
        }
    }

    pub(crate) fn of_guard<T: SessionData>(
        error: EngineError,
        session: Arc<RequestSession<T>>,
    ) -> Self {
        let session: Arc<dyn End> = session;
        Self {
            error,
            session: Some(session),
            denied: None,
        }
    }

    pub(crate) fn denied(status: Status) -> Self {
        Self {
            error: EngineError::usage("a guard of the session turned the request away"),
            session: None,
            denied: Some(status),
        }
    }

    pub(crate) fn status(&self) -> Status {
        if let Some(status) = self.denied {
            return status;
        }
        let error = &self.error;
        // The browser can try again with the new cookie.
        let is_conflict = error.is_conflict();
        if error.is_store() || error.is_gone() || error.is_refused() || is_conflict {
            Status::ServiceUnavailable
        } else if error.is_too_large() {
            Status::PayloadTooLarge
        } else if error.is_full() {
            Status::Conflict
        } else if error.is_csrf() {
            Status::Forbidden
        } else if error.is_without_parent() {
            Status::Unauthorized
        } else {
            Status::InternalServerError
        }
    }
}

trait End: Send + Sync {
    fn end(&self);
}

impl<T: SessionData> End for RequestSession<T> {
    fn end(&self) {
        let mut pending = Pending::default();
        pending.destroyed = true;
        if let Err(error) = self.add(pending) {
            self.fail(error);
        }
    }
}

/// There is no way back: the engine stays out of this crate's interface.
impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        Self {
            error,
            session: None,
            denied: None,
        }
    }
}

/// Logs at most one line per request; for outages and refused requests, one per interval. Returns whether
/// this is the request's first error.
pub(crate) fn report(request: &Request<'_>, what: &str, error: &Error) -> bool {
    let Reported(reported) = request.local_cache(Reported::default);
    if reported.swap(true, Ordering::SeqCst) {
        return false;
    }
    let limits = request.rocket().state::<LogLimits>();
    let unsaid = match limits.and_then(|limits| limits.of(error)).map(Limit::say) {
        None | Some(Some(0)) => String::new(),
        Some(Some(unsaid)) => format!(" ({unsaid} more requests failed meanwhile)"),
        Some(None) => return true,
    };
    let (kind, reason) = error.error.event().unzip();
    let (event, reason) = (
        kind.map(EventKind::name),
        reason.flatten().map(Reason::name),
    );
    match error.is_csrf() {
        true => warn!(target: TARGET, event, reason, "{what}: {error}{unsaid}"),
        false => error!(target: TARGET, event, reason, "{what}: {error}{unsaid}"),
    }
    true
}

#[derive(Default)]
struct Reported(AtomicBool);

/// Across all session types.
#[derive(Debug, Default)]
pub(crate) struct LogLimits {
    outage: Limit,
    refused: Limit,
}

impl LogLimits {
    fn of(&self, error: &Error) -> Option<&Limit> {
        match error {
            error if error.is_store() => Some(&self.outage),
            error if error.is_csrf() => Some(&self.refused),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
struct Limit(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    at: Option<Instant>,
    unsaid: u64,
}

impl Limit {
    const INTERVAL: Duration = Duration::from_secs(1);

    /// How many failures went unlogged since the last line; `None` if this one must not be logged either.
    fn say(&self) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.at.is_some_and(|at| at.elapsed() < Self::INTERVAL) {
            said.unsaid += 1;
            return None;
        }
        said.at = Some(Instant::now());
        Some(std::mem::take(&mut said.unsaid))
    }
}

impl<'r> Responder<'r, 'static> for Error {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        if !self.is_denied() {
            report(request, "session", &self);
        }
        Err(self.status())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

/// Rocket logs this for each guard that fails.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.denied {
            // Nobody used anything wrongly.
            Some(status) => write!(f, "Denied with {} ({})", status.code, self.error),
            None => self.error.fmt(f),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.error.source()
    }
}

/// Why [`Session::transact`](crate::Session::transact) changed nothing.
///
/// It is a responder if `E` is one: `Aborted` answers as `E` does, `Failed` as [`Error`] does, and `Conflict`
/// is a 503.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "there is no other way for a transaction to end"
)]
pub enum TransactError<E> {
    /// The closure failed.
    Aborted(E),
    /// Other requests changed the session during each of the 20 tries.
    Conflict,
    /// The session could not be read or stored. If [`Error::is_unknown`], it may have been stored.
    Failed(Error),
}

impl<E> From<Error> for TransactError<E> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// For closures that cannot fail: `visit.transact(|visit| Ok::<_, Infallible>(visit.items += 1)).await?`.
impl From<TransactError<Infallible>> for Error {
    fn from(error: TransactError<Infallible>) -> Self {
        match error {
            TransactError::Aborted(never) => match never {},
            TransactError::Conflict => EngineError::conflict().into(),
            TransactError::Failed(error) => error,
        }
    }
}

impl<E> From<EngineError> for TransactError<E> {
    fn from(error: EngineError) -> Self {
        Self::Failed(error.into())
    }
}

impl<'r, 'o: 'r, E: Responder<'r, 'o>> Responder<'r, 'o> for TransactError<E> {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'o> {
        match self {
            Self::Aborted(error) => error.respond_to(request),
            Self::Conflict => Err(Status::ServiceUnavailable),
            Self::Failed(error) => error.respond_to(request),
        }
    }
}

impl<E: fmt::Display> fmt::Display for TransactError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aborted(error) => error.fmt(f),
            Self::Conflict => f.write_str("other requests changed the session each time"),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: StdError + 'static> StdError for TransactError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Aborted(error) => error.source(),
            Self::Conflict => None,
            Self::Failed(error) => error.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_visitor_who_is_turned_away_is_no_wrong_use() {
        let denied = format!("{:?}", Error::denied(Status::SeeOther));
        let expected = "Denied with 303 (a guard of the session turned the request away)";
        assert_eq!(denied, expected);
    }

    #[test]
    fn a_transaction_whose_closure_cannot_fail_has_the_error_of_all_else() {
        let conflict = Error::from(TransactError::<Infallible>::Conflict);
        assert!(conflict.is_conflict());
        assert_eq!(conflict.status(), Status::ServiceUnavailable);
        let failed = Error::from(EngineError::store("away"));
        assert!(Error::from(TransactError::<Infallible>::Failed(failed)).is_store());
    }
}
