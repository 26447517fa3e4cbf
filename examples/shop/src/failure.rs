//! Why a page fails. The catchers show it.

use std::convert::Infallible;
use std::fmt;

use rocket::http::Status;
use rocket::response::Responder;
use rocket_typed_session::{Error, TransactError};

/// What handlers return with `?`.
#[derive(Debug, Responder)]
pub(crate) enum Failure {
    Session(Error),
    Other(Status),
}

impl Failure {
    /// The visitor sees only that something failed; the log says what.
    pub(crate) fn internal(error: impl fmt::Display) -> Self {
        rocket::error!("{error}");
        Self::Other(Status::InternalServerError)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

impl From<TransactError<Infallible>> for Failure {
    fn from(error: TransactError<Infallible>) -> Self {
        Self::Session(error.into())
    }
}
