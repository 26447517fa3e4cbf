//! The contract between the engine and a store.
//!
//! The feature `testing` makes the contract executable: `session_core::testing::conformance` has a test for
//! each clause. One line runs them all against your own store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Re-exported because an `impl Store` needs it.
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

/// Holds sessions: bytes, fields and time. It knows nothing of HTTP, cookies or session types.
///
/// You write four verbs, but not their logic: [`Update::apply_to`] and [`Delete::apply_to`] check, merge and
/// answer, and you make each call one atomic step. Stores that keep bytes use [`Record::from_bytes`],
/// [`Record::create_in`], [`Update::apply_to_bytes`] and [`Delete::apply_to_bytes`]. The examples
/// `custom_store` and `byte_store` are complete stores.
///
/// # The contract
///
/// - **Absent is a value.** A session that is unknown, deleted or [over](Record::is_over) is `None` or
///   `Gone`. So is a record that you cannot read, because another version or another program wrote it; do not
///   repair or overwrite it. `Err` is for system failures only: unreachable, refusing, too slow. An outage
///   must never look like "no session", or it would log everybody out.
/// - **No verb brings a session back.** [`update`](Self::update) checks and writes in one atomic step. It
///   writes only if the session exists and has the digests that the request loaded. A store that breaks this
///   undoes logouts.
/// - **A delete ends the login that it names**, or does nothing, also in one atomic step. In a store that
///   breaks this, a logout from before a login ends the new login.
/// - **[`create`](Self::create) never overwrites** an existing session.
/// - **All or nothing.** After a refused, failed or cancelled call, the session is either unchanged or fully
///   changed, never half changed.
/// - **Send an update once.** Once its bytes may have left, neither you nor your client library may resend
///   it, because it could add twice. You may resend a load or a delete. The engine retries a create under
///   another id.
/// - **Your time counts**, not the caller's: [`now`](Self::now). If your server has its own clock, estimate
///   it from below: the last time that you heard, plus the time since then.
/// - **Do nothing after `not_after`.** If you reach an update or a delete later than that, by your time,
///   change nothing and answer `Late` with your time. Otherwise, a call that a proxy or a frozen server
///   delayed could take effect after its request has ended.
/// - **Unknown is not failed.** Answer [`Error::unknown`] if a write may have happened or still may: the
///   connection broke, or no answer came in time. Answer [`Error::store`] if it certainly did not happen: the
///   server refused it, or you never sent it.
/// - **Every call answers within [`timeout`](Self::timeout)**, also under load and in an outage. The store
///   itself sees to that; the option `timeout` of the configuration is for Redis.
/// - **What you have answered stays.** If sessions outlive your process, write them to disk before you answer,
///   deletes too, or say what a crash may undo: a logout, for example.
/// - **Touch only the named fields.** Keep all others: an older or newer build may own them. A name is any
///   text and a value any bytes. You may use names that begin with `@` yourself, except those with
///   [`DEADLINE_PREFIX`](crate::fields::DEADLINE_PREFIX) and [`PARENT`](crate::fields::PARENT); never load
///   your own.
/// - **Remove every record** some time after [`Record::remove_at`]. That is a little later than the session's
///   end, which the engine checks on every load.
/// - Keys and digests are not secret: they open nothing. Fields are users' data; keep them out of logs and
///   errors.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads a session with at least the wanted fields. `None` if it is absent.
    ///
    /// The record is shared and immutable, so a cache can wrap another store.
    ///
    /// # Errors
    ///
    /// Only if the system fails.
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error>;

    /// A usable copy of a session in this process, with at least the wanted fields. Default: the store keeps
    /// no copies.
    ///
    /// Only GET and HEAD requests that ask for a copy get one. A copy may lack what another process stored
    /// within the time that the application allows, but never what this process stored. `None` says nothing
    /// about the session: the engine then loads it.
    fn near(&self, key: Key, wanted: &Wanted) -> Option<Arc<Record>> {
        let _ = (key, wanted);
        None
    }

    /// Stores a new session, unless one exists under its key.
    ///
    /// # Errors
    ///
    /// Only if the system fails: [`Error::unknown`] if the session may have been stored, or may still be. Then
    /// nobody has its token, and it is removed when it expires.
    async fn create(&self, key: Key, record: Record) -> Result<Created, Error>;

    /// Changes a session with [`Update::apply_to`]. An update without changes is a touch: it extends the
    /// session's life.
    ///
    /// # Errors
    ///
    /// Only if the system fails: [`Error::unknown`] if the change may have happened.
    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error>;

    /// Ends a session with [`Delete::apply_to`]. Ending a session that does not exist is not an error.
    ///
    /// # Errors
    ///
    /// Only if the system fails; the session may then still exist.
    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error>;

    /// The store's time, estimated from below. It decides when sessions expire.
    fn now(&self) -> Timestamp;

    /// How long a call may take. A commit's deadline is equally far away. Default: 2 seconds.
    fn timeout(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// Which sessions a user has. Default: the store does not know. Then you cannot log a user out everywhere
    /// or limit a user's sessions.
    fn user_index(&self) -> Option<&dyn UserIndex> {
        None
    }

    /// The kind of store and its address, without a password. For operators: the launch log shows it.
    fn describe(&self) -> String;
}

/// Knows which sessions a user has: a small second part of a store.
///
/// Keep a [`Roster`](crate::users::Roster) for each user, and make [`Step::apply_to`] atomic. It need not be
/// atomic with the sessions themselves, nor be on the same server.
///
/// # The contract
///
/// - **Each step is atomic**, and its answer stays true: later steps build on it.
/// - **Do nothing after `not_after`**, as for an update. A step may be resent.
/// - **[`present`](Self::present) is never ahead** of the point at which a step would happen now, and it is
///   after every step that has been answered. If it is ahead, a login that began before all sessions were
///   ended survives. If it is behind, logins that began afterwards are refused.
/// - **Keep a roster** until its [`remove_at`](crate::users::Roster::remove_at). If a roster is lost, its
///   sessions end when they are next extended.
///
/// ```rust
/// # use std::collections::HashMap;
/// # use std::sync::{Mutex, MutexGuard, PoisonError};
/// # use session_core::clock::{Clock as _, SystemClock};
/// # use session_core::{error::Error, store::{UserIndex, async_trait}};
/// # use session_core::users::{Mark, Roster, Step, Stepped, UserKey};
/// struct Users(Mutex<(HashMap<UserKey, Roster>, Mark)>); // here: your database
///
/// impl Users {
///     fn lock(&self) -> MutexGuard<'_, (HashMap<UserKey, Roster>, Mark)> {
///         self.0.lock().unwrap_or_else(PoisonError::into_inner)
///     }
/// }
///
/// #[async_trait]
/// impl UserIndex for Users {
///     fn present(&self) -> Mark {
///         self.lock().1
///     }
///
///     async fn step(&self, user: UserKey, step: &Step) -> Result<Stepped, Error> {
///         let mut users = self.lock();
///         let (rosters, mark) = &mut *users;
///         let stepped = step.apply_to(rosters.entry(user).or_default(), SystemClock.now(), *mark);
///         *mark = mark.next(); // what is answered lies behind
///         Ok(stepped)
///     }
/// }
/// ```
#[async_trait]
pub trait UserIndex: Send + Sync {
    /// The current point in the order of the steps.
    fn present(&self) -> Mark;

    /// Performs a step with [`Step::apply_to`].
    ///
    /// # Errors
    ///
    /// Only if the system fails: [`Error::unknown`] if the step may have happened.
    async fn step(&self, user: UserKey, step: &Step) -> Result<Stepped, Error>;
}

/// The fields of a session that a load wants.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "every store decides for each")]
pub enum Wanted {
    /// All fields.
    All,
    /// The fields with these names. A store may load more.
    Fields(Arc<[Name]>),
}

impl Wanted {
    /// Whether these fields include all of `other`'s.
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

/// Lets a caller keep a handle on a store that it hands over.
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

/// The key of a session in a store. You may log its `Display`, which is unique and the same in every later
/// version: use it as the key in your store.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct Key {
    /// The name of the session type. It keeps one type from reading another's sessions.
    pub name: &'static str,
    /// The public half of the session's token.
    pub id: SessionId,
}

impl Key {
    /// The lowest key.
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
    /// The session is not stored. Either one exists under that key, and stays unchanged; or the store did not
    /// know its server's time yet, which the record's life depends on. The engine tries again under another
    /// id, with the time that [`Store::now`] then gives.
    Refused,
}
