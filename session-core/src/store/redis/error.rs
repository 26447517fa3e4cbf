//! What Redis and its pool complain of, in words that reveal neither keys nor data nor passwords.

use deadpool_redis::PoolError;
use deadpool_redis::redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::error::Error;

/// An error that the server answered under this code. The text that comes with it is left out:
/// that of an unknown command repeats its arguments.
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

pub(super) fn of_redis(error: RedisError) -> Error {
    if error.is_timeout() {
        return timed_out();
    }
    if error.kind() == ErrorKind::AuthenticationFailed {
        let code = "WRONGPASS".to_owned();
        return Error::store("Redis refused").with_source(Refused { code });
    }
    match error.code() {
        Some(code) => {
            let code = code.to_owned();
            Error::store("Redis refused").with_source(Refused { code })
        }
        None if error.is_io_error() => {
            Error::store("the connection to Redis failed").with_source(error)
        }
        None => Error::store(format!(
            "Redis or the way to it failed: {}",
            error.category()
        )),
    }
}

pub(super) fn of_pool(error: PoolError) -> Error {
    match error {
        PoolError::Backend(error) => of_redis(error),
        PoolError::Timeout(_) => timed_out(),
        PoolError::Closed => Error::store("the Redis pool is closed"),
        PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            Error::store("the Redis pool is set up wrongly").with_source(error)
        }
    }
}

pub(super) fn timed_out() -> Error {
    Error::timeout("Redis did not answer in time")
}

pub(super) fn unexpected() -> Error {
    Error::store("Redis answered what it should not: is it a Redis server?")
}

/// Whether another kind of value than a hash is stored under the key.
pub(super) fn is_wrong_type(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let refused = source.and_then(|source| source.downcast_ref::<Refused>());
    refused.is_some_and(|refused| refused.code == "WRONGTYPE")
}

/// Whether the connection that brought this error is of no use any more: it is broken, or it leads
/// to a server that is not, or not yet, the one to talk to, or that will not talk to us.
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
