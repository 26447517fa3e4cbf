//! The contract between the engine and a store.
//!
//! With the feature `testing`, the contract is executable: `session_core::testing::conformance` has
//! a test for each clause, and a store of your own runs them all in one line.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What an `impl Store` needs above it.
pub use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::Error;
use crate::fields::Name;
use crate::record::Record;
use crate::token::SessionId;
pub use crate::update::{Delete, Deleted, Expected, Rotation, Update, Updated};
use crate::users::{Mark, Step, Stepped, UserKey};

pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

/// Holds sessions: bytes, fields and time. It knows no HTTP, no cookie and no session type.
///
/// You write four verbs. You do not write what they do: [`Update::apply_to`] and [`Delete::apply_to`]
/// check, merge and answer, and you make each one atomic step. [`Record::from_bytes`],
/// [`Record::create_in`], [`Update::apply_to_bytes`] and [`Delete::apply_to_bytes`] are for stores
/// that keep bytes. The examples `custom_store` and `byte_store` are whole stores.
///
/// # The contract
///
/// - **Absent is a value.** A session that is unknown, deleted or [over](Record::is_over) is `None`
///   or `Gone`. So is a record that you cannot read, because another version or another program
///   wrote it; do not repair or overwrite it. `Err` is for the system alone: unreachable, refusing,
///   too slow. An outage must never look like "no session", or it would log everybody out.
/// - **No verb brings a session back.** [`update`](Self::update) writes only if the session exists
///   and has the digests that the request loaded. It checks and writes in one atomic step. A store
///   that breaks this undoes logouts.
/// - **A delete ends the login that it names**, or does nothing, in one atomic step as well. A store that
///   breaks this lets a logout of before a login end it.
/// - **[`create`](Self::create) never overwrites** a session that exists.
/// - **All or nothing.** A refused, failed or cancelled call leaves the session as it was or as the
///   call would have left it, never half of it.
/// - **An update is sent once.** Once its bytes may have left, neither you nor your client library
///   may send it again: adding twice is adding too much. You may send a load again, and a delete.
///   The engine tries a create again, under another id.
/// - **Your time counts**, not the caller's: [`now`](Self::now). If your server has its own clock,
///   estimate it from below: the time that you last heard, plus what has passed since.
/// - **Nothing is done after `not_after`.** If you get to an update or a delete later than that, in
///   your time, do nothing and answer `Late` with your time. So a call that a proxy or a frozen
///   server delayed cannot land after its request has ended.
/// - **Unknown is not failed.** Answer [`Error::unknown`] if a write may have been done or may
///   still be: the connection broke, or no answer came in time. Answer [`Error::store`] if it was
///   certainly not done: refused, or never sent.
/// - **Every call answers within [`timeout`](Self::timeout)**, under load and in an outage too.
/// - **Touch only the named fields.** All others stay: an older or newer build may own them. A name
///   is any text and a value any bytes. Names that begin with `@` are free for your own use, except
///   those with [`DEADLINE_PREFIX`](crate::fields::DEADLINE_PREFIX) and
///   [`PARENT`](crate::fields::PARENT); never load your own.
/// - **Remove every record** at some time after [`Record::remove_at`]. It has slack over the
///   session's end, which the engine checks on every load.
/// - Keys and digests are not secret: they open nothing. Fields are somebody's data, and belong in
///   no log and no error.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads a session, with at least the wanted fields. `None` if it is absent.
    ///
    /// The record is shared and immutable, so that a cache can be a store around a store.
    ///
    /// # Errors
    ///
    /// Only if the system fails.
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error>;

    /// A copy of a session in this process, with at least the wanted fields, if the store keeps any that
    /// counts at this moment. Default: it keeps none.
    ///
    /// Only requests that ask for it get one: GET and HEAD. A copy may miss what another process stored a
    /// moment ago, as long as the application allowed; never what this one stored. `None` says nothing
    /// about the session: the engine loads it.
    fn near(&self, key: Key, wanted: &Wanted) -> Option<Arc<Record>> {
        let _ = (key, wanted);
        None
    }

    /// Stores a new session, unless one exists under its key.
    ///
    /// # Errors
    ///
    /// Only if the system fails: [`Error::unknown`] if it may have been stored.
    async fn create(&self, key: Key, record: Record) -> Result<Created, Error>;

    /// Changes a session by [`Update::apply_to`]. An update without changes is a touch: it extends
    /// the session's life.
    ///
    /// # Errors
    ///
    /// Only if the system fails: [`Error::unknown`] if it may have been done.
    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error>;

    /// Ends a session by [`Delete::apply_to`]. Ending one that does not exist is no error.
    ///
    /// # Errors
    ///
    /// For the system only: the session may still exist then.
    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error>;

    /// The store's time, estimated from below. Sessions live by it.
    fn now(&self) -> Timestamp;

    /// How long a call may take; a commit's deadline is as far away. Default: 2 seconds.
    fn timeout(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// Which sessions a user has. Default: the store does not know. Then nobody can be logged out
    /// everywhere, and no limit on a user's sessions can be declared.
    fn user_index(&self) -> Option<&dyn UserIndex> {
        None
    }

    /// What and where the store is, for operators: no password. The launch log shows it.
    fn describe(&self) -> String;
}

/// Knows which sessions a user has: a small second part of a store.
///
/// You keep a [`Roster`](crate::users::Roster) for each user, and make [`Step::apply_to`] atomic. It
/// need not be in one step with the sessions themselves, nor on the same server.
///
/// # The contract
///
/// - **Each step is atomic**, and what it answered stays: later steps build on it.
/// - **Nothing is done after `not_after`**, as for an update. A step may be sent again.
/// - **[`present`](Self::present) is never ahead** of the point at which a step would be done now, and
///   is after each step that was answered before. A store that breaks the first lets a login survive
///   that began before the end of all sessions; one that breaks the second refuses those that began
///   after it.
/// - **A roster stays** until its [`remove_at`](crate::users::Roster::remove_at). If it is lost, its
///   sessions end when they are next extended.
///
/// ```rust
/// # use std::collections::HashMap;
/// # use std::sync::{Mutex, PoisonError};
/// # use session_core::clock::{Clock as _, SystemClock};
/// # use session_core::{error::Error, store::{UserIndex, async_trait}};
/// # use session_core::users::{Mark, Roster, Step, Stepped, UserKey};
/// struct Users(Mutex<HashMap<UserKey, Roster>>); // here: your database
///
/// #[async_trait]
/// impl UserIndex for Users {
///     // A login in the very millisecond of an end is refused.
///     fn present(&self) -> Mark {
///         Mark::new(SystemClock.now().as_millis())
///     }
///
///     async fn step(&self, user: UserKey, step: &Step) -> Result<Stepped, Error> {
///         let mut rosters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
///         let roster = rosters.entry(user).or_default();
///         Ok(step.apply_to(roster, SystemClock.now(), self.present()))
///     }
/// }
/// ```
#[async_trait]
pub trait UserIndex: Send + Sync {
    /// The present point in the order of the steps.
    fn present(&self) -> Mark;

    /// Does a step by [`Step::apply_to`].
    ///
    /// # Errors
    ///
    /// Only if the system fails: [`Error::unknown`] if it may have been done.
    async fn step(&self, user: UserKey, step: &Step) -> Result<Stepped, Error>;
}

/// Which fields of a session a load wants.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "every store decides for each")]
pub enum Wanted {
    /// Every field.
    All,
    /// The fields with these names. Loading more does no harm.
    Fields(Arc<[Name]>),
}

impl Wanted {
    /// Whether who wants these fields gets all that the other one wants.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Fields(_), Self::All) => false,
            (Self::Fields(these), Self::Fields(others)) => {
                Arc::ptr_eq(these, others) || others.iter().all(|name| these.contains(name))
            }
        }
    }
}

/// So that a caller can keep a handle on a store that it hands over.
#[async_trait]
impl<S: Store + ?Sized> Store for Arc<S> {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        S::load(self, key, wanted).await
    }

    fn near(&self, key: Key, wanted: &Wanted) -> Option<Arc<Record>> {
        S::near(self, key, wanted)
    }

    async fn create(&self, key: Key, record: Record) -> Result<Created, Error> {
        S::create(self, key, record).await
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        S::update(self, key, update).await
    }

    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error> {
        S::delete(self, key, delete).await
    }

    fn now(&self) -> Timestamp {
        S::now(self)
    }

    fn timeout(&self) -> Duration {
        S::timeout(self)
    }

    fn user_index(&self) -> Option<&dyn UserIndex> {
        S::user_index(self)
    }

    fn describe(&self) -> String {
        S::describe(self)
    }
}

/// What a store finds a session by. Its `Display` may be logged.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct Key {
    /// The name of the session type, so that one type never reads another's sessions.
    pub name: &'static str,
    /// The public half of the session's token.
    pub id: SessionId,
}

impl Key {
    /// The first key in order.
    pub(crate) const MIN: Self = Self::new("", SessionId::MIN);

    /// The key of a session.
    #[must_use]
    pub const fn new(name: &'static str, id: SessionId) -> Self {
        Self { name, id }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.id)
    }
}

/// The answer of [`Store::create`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store answers one of these")]
pub enum Created {
    /// The session is stored.
    Done,
    /// It is not stored. A session exists under that key, which was left alone; or the store had not
    /// heard of its server's time before, by which the record was to live. The engine tries again,
    /// under another id and with the time that [`Store::now`] says by then.
    Refused,
}
