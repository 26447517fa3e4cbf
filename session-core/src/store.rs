//! The contract between the engine and a store.
//!
//! With the feature `testing`, `session_core::testing::conformance` tests your own store against each clause.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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

/// Holds sessions: bytes, fields and time.
///
/// [`Update::apply_to`] and [`Delete::apply_to`] check, merge and answer; you make each call one atomic step.
/// Stores that keep bytes use [`Record::from_bytes`], [`Record::create_in`], [`Update::apply_to_bytes`] and
/// [`Delete::apply_to_bytes`]. See the examples `custom_store` and `byte_store`.
///
/// # The contract
///
/// - **Absent is a value.** A session that is unknown, deleted or [over](Record::is_over) is `None` or
///   `Gone`. So is a record that you cannot read; do not repair or overwrite it. `Err` is for system failures
///   only, and every system failure is an `Err`.
/// - **No verb brings a session back.** [`update`](Self::update) writes only if the session exists and has
///   the digests that the request loaded, in one atomic step.
/// - **A delete ends the login that it names**, or does nothing, also in one atomic step.
/// - **[`create`](Self::create) never overwrites** an existing session.
/// - **All or nothing.** A refused, failed or cancelled call leaves the session unchanged or fully changed.
/// - **Send an update once.** Once its bytes may have left, neither you nor your client library may resend
///   it: it could add twice. You may resend a load or a delete. The engine retries a create under another id.
/// - **Your time counts**, not the caller's: [`now`](Self::now). If your server has its own clock, estimate
///   it from below: the last time that you heard, plus the time since.
/// - **Do nothing after `not_after`**, by your time, read in the atomic step. A later update or delete changes
///   nothing and answers `Late` with your time.
/// - **Unknown is not failed.** Answer [`Error::unknown`] if a write may have happened or still may: the
///   connection broke, or no answer came in time. Answer [`Error::store`] if it certainly did not happen: the
///   server refused it, or you never sent it.
/// - **Every call answers within [`timeout`](Self::timeout)**, also under load and in an outage. Nobody else
///   enforces it.
/// - **What you have answered stays.** If sessions outlive your process, write to disk before you answer,
///   deletes too, or say what a crash may undo. A load must not show what is not on disk yet. If a sync fails,
///   nobody knows what the disk holds: answer [`Error::unknown`], then fail until you have read it again.
/// - **Touch only the named fields.** Another build may own the others. A name is any text and a value any
///   bytes. You may use names that begin with `@` yourself, except those with
///   [`DEADLINE_PREFIX`](crate::fields::DEADLINE_PREFIX) and [`PARENT`](crate::fields::PARENT); never load
///   your own.
/// - **Remove every record** some time after [`Record::remove_at`].
/// - Keys and digests are not secret. Keep fields out of logs and errors.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads a session with at least the wanted fields. `None` if it is absent.
    ///
    /// # Errors
    ///
    /// Only if the system fails.
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error>;

    /// A copy of a session in this process, if there is one with at least the wanted fields. Default: none.
    ///
    /// It may lack what another process stored within the time that the application allows, but never what
    /// this process stored. The engine asks only for GET and HEAD requests that may use copies. After `None`,
    /// it loads the session.
    fn near(&self, key: Key, wanted: &Wanted) -> Option<Arc<Record>> {
        let _ = (key, wanted);
        None
    }

    /// Stores a new session, unless one exists under its key.
    ///
    /// # Errors
    ///
    /// Only if the system fails: [`Error::unknown`] if the session may have been stored, or may still be.
    async fn create(&self, key: Key, record: Record) -> Result<Created, Error>;

    /// Changes a session with [`Update::apply_to`]. An update without changes is a touch: it extends the
    /// session's life.
    ///
    /// # Errors
    ///
    /// Only if the system fails: [`Error::unknown`] if the change may have happened.
    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error>;

    /// Ends a session with [`Delete::apply_to`]. An absent session is not an error.
    ///
    /// # Errors
    ///
    /// Only if the system fails; the session may then still exist.
    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, Error>;

    /// The store's time. It decides when sessions expire. Called in requests, so it must not wait.
    fn now(&self) -> Timestamp;

    /// How long a call may take, and how far away a commit's deadline is. Default: 2 seconds.
    fn timeout(&self) -> Duration {
        Duration::from_secs(2)
    }

    /// Which sessions a user has. Default: unknown, so you cannot log a user out everywhere or limit a user's
    /// sessions.
    fn user_index(&self) -> Option<&dyn UserIndex> {
        None
    }

    /// The kind of store and its address for the launch log, without a password.
    fn describe(&self) -> String;
}

/// Knows which sessions a user has.
///
/// Keep a [`Roster`](crate::users::Roster) for each user, and make [`Step::apply_to`] atomic. It need not be
/// atomic with the sessions, nor be on the same server.
///
/// # The contract
///
/// - **What a step has answered stays**, even after restarts: later steps build on it.
/// - **Do nothing after `not_after`**, as for an update. A step may be resent.
/// - **[`present`](Self::present) is never ahead** of the point at which a step would happen now, and it is
///   after every answered step. If it is ahead, a login that began before all sessions were ended survives. If
///   it is behind, logins that begin afterwards are refused.
/// - **Keep a roster** until its [`remove_at`](crate::users::Roster::remove_at), and the mark with it, if your
///   storage outlives the process. If a roster is lost, its sessions end when they are next extended. If you
///   cannot read one, answer `Err`.
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
///         let roster = rosters.entry(user).or_default();
///         let stepped = step.apply_to(roster, SystemClock.now(), *mark);
///         if roster.remove_at().is_none() {
///             rosters.remove(&user);
///         }
///         *mark = mark.next(); // what is answered lies behind; store it with the rosters
///         Ok(stepped)
///     }
/// }
/// ```
#[async_trait]
pub trait UserIndex: Send + Sync {
    /// The current point in the order of the steps. Called in requests, so it must not wait.
    fn present(&self) -> Mark;

    /// Performs a step with [`Step::apply_to`].
    ///
    /// # Errors
    ///
    /// Only if the system fails: [`Error::unknown`] if the step may have happened.
    async fn step(&self, user: UserKey, step: &Step) -> Result<Stepped, Error>;
}

/// The fields that a load wants.
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

/// The key of a session. Its `Display` is unique, safe to log, and the same in every later version: use it as
/// the key in your store, where case counts. It never equals that of a [`UserKey`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct Key {
    /// The name of the session type.
    pub name: &'static str,
    /// The public half of the session's token.
    pub id: SessionId,
}

impl Key {
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
    /// The session is not stored. One exists under that key and stays unchanged, or the store did not know
    /// its server's time yet. The engine tries again under another id, at the time that [`Store::now`] then
    /// gives.
    Refused,
}
