//! The near cache: copies of records in this process.
//!
//! Loads, answers and the server's invalidations share one connection, in order. So an answer proves that
//! every invalidation from before its load has arrived: it vouches for all remaining copies. If answers stop,
//! the copies soon stop counting.
//!
//! [`interleavings`](crate::interleavings) explores [`Copies`].

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, PushInfo, PushKind, RedisError, Value};

pub(crate) use self::copies::{Copies, Moment, Ticket};
use super::{Key, Wanted};
use crate::record::Record;
use crate::token::SessionId;

mod copies;

const CAPACITY: usize = 16_384;

/// In bytes of a record's fields. All copies take at most 64 MiB, plus overhead.
const MAX_SIZE: usize = 4096;

pub(super) struct NearCache {
    /// How old a copy may be.
    pub(super) within: Duration,
    copies: Mutex<Copies<Arc<Record>>>,
}

impl NearCache {
    pub(super) fn new(within: Duration) -> Self {
        Self {
            within,
            copies: Mutex::new(Copies::new(within, CAPACITY)),
        }
    }

    pub(super) fn get(&self, key: Key, wanted: &Wanted) -> Option<Arc<Record>> {
        let mut copies = self.copies();
        copies.get(key, wanted, Moment::now())
    }

    /// Call this before taking a connection. Otherwise an answer over the old one could bring back a copy
    /// that the new one made this cache forget.
    pub(super) fn ticket(&self, key: Key) -> Ticket {
        self.copies().ticket(key, Moment::now())
    }

    pub(super) fn answered(
        &self,
        key: Key,
        wanted: &Wanted,
        ticket: Ticket,
        record: Option<&Arc<Record>>,
    ) {
        let small = record.filter(|record| record.fields.footprint() <= MAX_SIZE);
        let record = small.map(Arc::clone);
        self.copies().answered(key, wanted, ticket, record);
    }

    /// For a write whose `not_after` is at most `timeout` away. Dropping the result forgets the copy, before
    /// anybody hears of the write.
    pub(super) fn writing(&self, key: Key, timeout: Duration) -> Writing<'_> {
        Writing {
            near: self,
            key,
            timeout,
            is_answered: false,
        }
    }

    /// The server announces changes on this connection from now on.
    pub(super) async fn begin(
        &self,
        connection: &mut MultiplexedConnection,
    ) -> Result<(), RedisError> {
        self.copies().forget_all();
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON");
        tracking.query_async(connection).await
    }

    pub(super) fn forget_all(&self) {
        self.copies().forget_all();
    }

    /// Runs before the connection hands out any later answer.
    pub(super) fn heard(&self, push: &PushInfo) {
        match push.kind {
            PushKind::Invalidate => match keys(&push.data) {
                Some(keys) => keys
                    .iter()
                    .filter_map(session_in)
                    .for_each(|id| self.copies().forget(id)),
                // The whole database was emptied, or the message is unclear.
                None => self.copies().forget_all(),
            },
            PushKind::Disconnection => self.copies().forget_all(),
            _ => {}
        }
    }

    /// No foreign code runs under the lock.
    fn copies(&self) -> MutexGuard<'_, Copies<Arc<Record>>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for NearCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NearCache")
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}

pub(super) struct Writing<'n> {
    near: &'n NearCache,
    key: Key,
    timeout: Duration,
    is_answered: bool,
}

impl Writing<'_> {
    /// The write has taken effect, or never will.
    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        let mut copies = self.near.copies();
        match self.is_answered {
            true => copies.forget(self.key.id),
            false => copies.suspend(self.key.id, Moment::now(), self.timeout),
        }
    }
}

/// `None` if it names no keys or is malformed.
fn keys(data: &[Value]) -> Option<&[Value]> {
    match data {
        [Value::Array(keys)] if keys.iter().all(|key| matches!(key, Value::BulkString(_))) => {
            Some(keys)
        }
        _ => None,
    }
}

/// Any other key is a user's, without copies.
fn session_in(key: &Value) -> Option<SessionId> {
    let Value::BulkString(key) = key else {
        return None;
    };
    let (_, id) = str::from_utf8(key).ok()?.rsplit_once(':')?;
    SessionId::parse(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::RedisStore;
    use crate::token::Token;

    #[test]
    fn the_key_of_a_session_says_which_it_is() {
        let id = Token::generate().unwrap().id();
        let key = format!("{}{}", RedisStore::DEFAULT_PREFIX, Key::new("visit", id));
        let bulk = |text: String| Value::BulkString(text.into_bytes());
        assert_eq!(session_in(&bulk(key)), Some(id));
        assert_eq!(
            session_in(&bulk(format!("my:own:prefix:visit:{id}"))),
            Some(id)
        );
        for other in [
            "",
            "session:visit@AAAAAAAAAAAAAAAAAAAAAA",
            "session:visit:x",
        ] {
            assert_eq!(session_in(&bulk(other.into())), None, "{other}");
        }
    }

    #[test]
    fn what_names_no_keys_means_all() {
        let array = |keys| [Value::Array(keys)];
        let key = Value::BulkString(b"k".to_vec());
        assert_eq!(keys(&array(vec![key.clone()])), Some(&[key.clone()][..]));
        assert_eq!(keys(&[Value::Nil]), None);
        assert_eq!(keys(&[]), None);
        assert_eq!(keys(&array(vec![key, Value::Int(1)])), None);
    }
}
