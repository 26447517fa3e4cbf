//! Why a session could not be read or stored, as an application meets it.

use std::error::Error as StdError;
use std::fmt;

use rocket::Request;
use rocket::http::Status;
use rocket::response::{self, Responder};

/// Why a session could not be read or stored.
///
/// It is a responder, so that `session.save().await?` works in a handler: a 503 by your catcher
/// where trying again may help, since the store or another request is to blame, and else a 500.
///
/// Neither its `Display` nor its `Debug` contains a token, session data, or a password, so it can be
/// logged as it is. That there is no session is no error.
#[derive(Clone)]
pub struct Error(session_core::error::Error);

impl Error {
    /// Whether the store is to blame: unreachable, refusing, or too slow. Trying later may help.
    #[must_use]
    pub fn is_store(&self) -> bool {
        self.0.is_store()
    }

    /// Whether the store did not answer in time, so that a write may or may not have happened.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.is_timeout()
    }

    /// Whether another request ended the session, or changed its token, in the meantime.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.0.is_gone()
    }

    /// Whether a field that is declared with `on_error = "error"` could not be read.
    #[must_use]
    pub fn is_decode(&self) -> bool {
        self.0.is_decode()
    }

    /// Whether a field's `Serialize` failed.
    #[must_use]
    pub fn is_encode(&self) -> bool {
        self.0.is_encode()
    }

    /// Whether a counter would have left the range of its type. Nothing was stored.
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        self.0.is_overflow()
    }

    /// What a request is answered that could not have its session, or not store it.
    pub(crate) fn status(&self) -> Status {
        // Whoever met a rotation by another request can try again, with the new cookie.
        if self.is_store() || self.is_gone() {
            Status::ServiceUnavailable
        } else {
            Status::InternalServerError
        }
    }
}

/// The engine's errors become the application's. There is no way back, so that the engine is not
/// part of this crate's interface.
impl From<session_core::error::Error> for Error {
    fn from(error: session_core::error::Error) -> Self {
        Self(error)
    }
}

impl<'r> Responder<'r, 'static> for Error {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        log::error!("{self}");
        Err(self.status())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// Why [`Session::transact`](crate::Session::transact) changed nothing.
///
/// It is a responder where `E` is one: `Aborted` answers as `E` does, a conflict is a 503.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "there is no other way for a transaction to end"
)]
pub enum TransactError<E> {
    /// The closure failed.
    Aborted(E),
    /// Other requests changed the session each time, so that it was given up.
    Conflict,
    /// The session could not be read or stored. After a time-out it may have been stored.
    Failed(Error),
}

impl<E> From<Error> for TransactError<E> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<E> From<session_core::error::Error> for TransactError<E> {
    fn from(error: session_core::error::Error) -> Self {
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
