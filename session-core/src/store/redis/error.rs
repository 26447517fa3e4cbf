//! Redis errors, in words that reveal no keys, data or passwords.

use std::borrow::Cow;

use deadpool_redis::redis::{ErrorKind, RedisError};

use crate::error::Error;

/// An error code from the server, without its text: some texts repeat the command's arguments.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) code: String,
    /// Host and port of the node that has the slot.
    pub(crate) redirect: Option<String>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hint = match self.code.as_str() {
            "NOAUTH" | "WRONGPASS" => "; check user and password in the database's `url`",
            "NOPERM" => "; the Redis user lacks a permission, see `RedisStore` for those it needs",
            "OOM" => "; it has reached its `maxmemory`",
            "READONLY" => "; it is a replica",
            "MOVED" | "ASK" => {
                "; it is a node of a cluster: write `urls`, a list, instead of `url`"
            }
            "CLUSTERDOWN" => {
                "; its cluster has no node for this slot, or the node is still starting"
            }
            "MASTERDOWN" => "; it is a replica, and has lost its master",
            "LOADING" => "; it is reading its data from disk",
            "NOREPLICAS" => "; it has fewer replicas than `min-replicas-to-write`",
            "MISCONF" => "; it cannot save its data, see its own log",
            "BUSY" => "; it is busy with a script that does not end",
            _ => "",
        };
        write!(f, "{}{hint}", self.code)
    }
}

impl std::error::Error for Refused {}

/// A refused change did not happen; an unanswered one may have.
pub(super) fn of_redis(changes: bool, error: RedisError) -> Error {
    if error.is_timeout() {
        return timed_out(changes);
    }
    let code = match error.kind() {
        ErrorKind::AuthenticationFailed => Some("WRONGPASS"),
        _ => code(&error),
    };
    if let Some(code) = code {
        let code = code.to_owned();
        let redirect = error.redirect_node().map(|(node, _)| node.to_owned());
        return Error::store("Redis refused").with_source(Refused { code, redirect });
    }
    match error.is_io_error() {
        true => unanswered(changes, "the connection to Redis failed").with_source(error),
        false => unanswered(
            changes,
            format!("Redis or the connection to it failed: {}", error.category()),
        ),
    }
}

fn code(error: &RedisError) -> Option<&str> {
    let code = error.code()?;
    let in_script = error.detail().filter(|_| code == "ERR").and_then(quoted);
    in_script.or(Some(code))
}

/// The code of the error that ended a script. Redis before 7.0 only quotes it:
///
/// - `ERR Error running script (call to f_…): @user_script:7: WRONGTYPE …`
/// - `ERR Error running script (call to f_…): @user_script:7: @user_script: 7: -READONLY …`
fn quoted(detail: &str) -> Option<&str> {
    let script = detail.strip_prefix("Error running script (call to f_")?;
    let (_, message) = script.split_once("): ")?;
    let mut words = message.split(' ');
    let word = words.find(|word| !word.ends_with(':'))?;
    let word = word.strip_prefix('-').unwrap_or(word);
    let is_code = word.bytes().all(|byte| byte.is_ascii_uppercase()) && !word.is_empty();
    is_code.then_some(word)
}

fn unanswered(changes: bool, message: impl Into<Cow<'static, str>>) -> Error {
    match changes {
        true => Error::unknown(message),
        false => Error::store(message),
    }
}

pub(super) fn timed_out(changes: bool) -> Error {
    unanswered(changes, "Redis did not answer in time")
}

pub(super) fn unexpected() -> Error {
    Error::unknown("Redis gave an unexpected answer: is it a Redis server?")
}

pub(super) fn not_replicated(replicas: Option<usize>, wanted: usize) -> Error {
    let replicas = replicas.map_or("an unknown number".into(), |replicas| {
        format!("only {replicas}")
    });
    Error::unknown(format!(
        "Redis has stored it, but {replicas} of its replicas have it, and `wait_replicas` is {wanted}"
    ))
}

pub(super) fn no_master(name: &str) -> Error {
    Error::store(format!("the sentinels know no master `{name}`"))
}

pub(super) fn no_node() -> Error {
    Error::store("no node of the cluster has the slot of this session")
}

pub(super) fn not_a_cluster() -> Error {
    Error::store("the servers of `urls` are not a cluster; write `url` for a single server")
}

pub(super) fn refused(error: &Error) -> Option<&Refused> {
    std::error::Error::source(error)?.downcast_ref()
}

pub(super) fn is_wrong_type(error: &Error) -> bool {
    refused(error).is_some_and(|refused| refused.code == "WRONGTYPE")
}

/// Whether the connection is broken, or leads to a server that is not ready, is a replica, or refuses us.
pub(super) fn spoils_connection(error: &RedisError) -> bool {
    error.is_connection_dropped()
        || error.is_io_error()
        || error.is_unrecoverable_error()
        || error.kind() == ErrorKind::AuthenticationFailed
        || matches!(
            code(error),
            Some("READONLY" | "LOADING" | "MASTERDOWN" | "NOAUTH" | "WRONGPASS")
        )
}

#[cfg(test)]
mod tests {
    use deadpool_redis::redis::parse_redis_value;

    use super::*;

    fn answered(line: &str) -> RedisError {
        let answer = parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        answer.extract_error().unwrap_err()
    }

    #[test]
    fn an_error_in_a_script_has_the_same_code_on_all_versions() {
        let quoting = "ERR Error running script (call to f_2d3c): @user_script:7:";
        for (line, expected) in [
            ("WRONGTYPE Operation against a key", "WRONGTYPE"),
            ("READONLY You can't write script: 2d3c", "READONLY"),
            ("NOTHING known", "NOTHING"),
            (
                &format!("{quoting} WRONGTYPE Operation against a key"),
                "WRONGTYPE",
            ),
            (
                &format!("{quoting} @user_script: 7: -READONLY You can't write"),
                "READONLY",
            ),
            (
                &format!("{quoting} @user_script: 7: -OOM command not allowed"),
                "OOM",
            ),
            (
                &format!("{quoting} user_script:7: attempt to index a nil value"),
                "ERR",
            ),
            (&format!("{quoting} "), "ERR"),
            ("ERR Error running script (call to f_2d3c):", "ERR"),
            ("ERR unknown command `READONLY`", "ERR"),
            ("ERR", "ERR"),
        ] {
            assert_eq!(code(&answered(line)), Some(expected), "{line}");
        }
    }

    #[test]
    fn a_replica_spoils_its_connection_and_a_wrong_type_does_not() {
        let quoting = "ERR Error running script (call to f_2d3c): @user_script:7:";
        for line in [
            "READONLY You",
            "LOADING Redis",
            "MASTERDOWN Link",
            "NOAUTH Authentication",
        ] {
            assert!(spoils_connection(&answered(line)), "{line}");
            let quoted = format!("{quoting} @user_script: 7: -{line}");
            assert!(spoils_connection(&answered(&quoted)), "{quoted}");
        }
        for line in [
            "WRONGTYPE Operation",
            "OOM command",
            "ERR unknown",
            "NOPERM this user",
        ] {
            assert!(!spoils_connection(&answered(line)), "{line}");
        }
    }
}
