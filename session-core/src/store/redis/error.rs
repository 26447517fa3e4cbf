//! Errors of Redis and its pool, in words that reveal neither keys nor data nor passwords.

use std::borrow::Cow;

use deadpool_redis::PoolError;
use deadpool_redis::redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::Error;

/// An error that the server answered with this code. Its text is left out, because some texts
/// repeat the arguments of the command.
#[derive(Debug)]
struct Refused {
    code: String,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hint = match self.code.as_str() {
            "NOAUTH" | "WRONGPASS" => "; check user and password in the database's `url`",
            "NOPERM" => "; the Redis user lacks a permission, see `RedisStore` for those it needs",
            "OOM" => "; it has reached its `maxmemory`",
            "READONLY" => "; it is a replica",
            "MOVED" | "ASK" | "CLUSTERDOWN" => "; it is a node of a cluster",
            _ => "",
        };
        write!(f, "{}{hint}", self.code)
    }
}

impl std::error::Error for Refused {}

/// What the server refused was not done; of what it did not answer, nobody knows.
pub(super) fn of_redis(changes: bool, error: RedisError) -> Error {
    if error.is_timeout() {
        return timed_out(changes);
    }
    let code = match error.kind() {
        ErrorKind::AuthenticationFailed => Some("WRONGPASS"),
        _ => error.code(),
    };
    if let Some(code) = code {
        let code = code.to_owned();
        return Error::store("Redis refused").with_source(Refused { code });
    }
    match error.is_io_error() {
        true => unanswered(changes, "the connection to Redis failed").with_source(error),
        false => unanswered(
            changes,
            format!("Redis or the way to it failed: {}", error.category()),
        ),
    }
}

/// What a call failed of that was not answered.
fn unanswered(changes: bool, message: impl Into<Cow<'static, str>>) -> Error {
    match changes {
        true => Error::unknown(message),
        false => Error::store(message),
    }
}

pub(super) fn of_pool(error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) => of_redis(false, error),
        PoolError::Timeout(_) => timed_out(false),
        PoolError::Closed => Error::store("the Redis pool is closed"),
        PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            Error::store("the Redis pool is set up wrongly").with_source(error)
        }
    }
}

pub(super) fn timed_out(changes: bool) -> Error {
    unanswered(changes, "Redis did not answer in time")
}

pub(super) fn unexpected() -> Error {
    Error::unknown("Redis answered what it should not: is it a Redis server?")
}

/// Whether another kind of value than a hash is stored under the key.
pub(super) fn is_wrong_type(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let refused = source.and_then(|source| source.downcast_ref::<Refused>());
    refused.is_some_and(|refused| refused.code == "WRONGTYPE")
}

/// Whether the connection that brought this error is useless: it is broken, or leads to a server
/// that is not ready, is a replica, or refuses us.
pub(super) fn spoils_connection(error: &RedisError) -> bool {
    error.is_connection_dropped()
        || error.is_io_error()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::AuthenticationFailed
                | ErrorKind::Server(
                    ServerErrorKind::ReadOnly
                        | ServerErrorKind::BusyLoading
                        | ServerErrorKind::MasterDown
                )
        )
        || matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}
