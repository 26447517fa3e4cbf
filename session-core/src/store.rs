//! The contract between the engine and a store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::changes::Changes;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::expiry::Lifetime;
use crate::recent::CommitId;
use crate::record::{Fields, Metadata, Name, Record};
use crate::token::{SessionId, VerifierDigest};

pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

/// Holds sessions: bytes, fields and time. It knows no HTTP, no cookie and no user's type.
///
/// # The contract
///
/// - **Absent is a value.** A session that is unknown, expired or deleted, or whose record cannot
///   be understood, is `None` or `Gone`. An `Err` is for the system alone: unreachable, refusing,
///   too slow. An outage must never look like "no session", or it would log everybody out.
/// - **No verb brings a session back.** [`update`](Self::update) writes only if the session exists
///   and its epoch is the expected one, and checks and writes in one atomic step. Whoever breaks
///   this undoes logouts.
/// - **[`create`](Self::create) never overwrites** a session that exists.
/// - **All or nothing.** A refused, failed or cancelled call leaves the session as it was or as the
///   call would have left it, never half of it.
/// - **Once.** A call that is repeated, because its answer was not heard, leaves what it left and
///   answers what it answered: [`Update::id`] names each update.
/// - **Only the named fields are touched**; all others, an older or newer build's, stay, unless
///   [`Changes::clears`] says that none does.
/// - **Every record has a time to live.** It is the duration that each call brings, relative to its
///   arrival; it has slack over the logical expiry, which the engine checks on every load. A record
///   may live longer than told, up to the longest that any call told; never shorter.
/// - **Answers within a deadline of its own**, whatever the network does.
/// - Keys are not secret. Digests are not either, alone they open nothing. Fields are somebody's
///   data: they belong in no log and no error.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads a session, at least the fields that are wanted.
    ///
    /// The record is shared and immutable, so that a cache can be a store around a store.
    ///
    /// # Errors
    ///
    /// For the system only.
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error>;

    /// Stores a new session, unless one exists under its key.
    ///
    /// # Errors
    ///
    /// For the system only.
    async fn create(&self, key: Key, record: Record, ttl: Duration) -> Result<Created, Error>;

    /// Changes a session, if it still exists and its epoch is `update.epoch`.
    ///
    /// With no changes it extends the session's life: a touch.
    ///
    /// # Errors
    ///
    /// [`Error::overflow`] where a counter would leave its range; else for the system only.
    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error>;

    /// Removes a field's value and answers it, so that exactly one of any number of calls obtains
    /// it: if the session still exists and its epoch is `take.epoch`.
    ///
    /// # Errors
    ///
    /// For the system only.
    async fn take(&self, key: Key, take: &Take) -> Result<Taken, Error>;

    /// Ends a session, whatever its epoch. Ending one that does not exist is no error.
    ///
    /// # Errors
    ///
    /// For the system only: the session may still exist then.
    async fn delete(&self, key: Key) -> Result<(), Error>;

    /// What and where the store is, for an operator's eyes: no password.
    fn describe(&self) -> String;
}

/// Which fields of a session are wanted.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "every store decides for each")]
pub enum Wanted {
    /// All that there are.
    All,
    /// Those of these names; more does no harm.
    Fields(Vec<Name>),
}

/// So that a caller can keep a handle on the store that it hands over.
#[async_trait]
impl<S: Store + ?Sized> Store for Arc<S> {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, Error> {
        S::load(self, key, wanted).await
    }

    async fn create(&self, key: Key, record: Record, ttl: Duration) -> Result<Created, Error> {
        S::create(self, key, record, ttl).await
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, Error> {
        S::update(self, key, update).await
    }

    async fn take(&self, key: Key, take: &Take) -> Result<Taken, Error> {
        S::take(self, key, take).await
    }

    async fn delete(&self, key: Key) -> Result<(), Error> {
        S::delete(self, key).await
    }

    fn describe(&self) -> String {
        S::describe(self)
    }
}

/// Under what a store finds a session. Its `Display` is good for logs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct Key {
    /// The name of the session's type: one type never reads another's sessions.
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

/// What became of [`Store::create`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store answers one of these")]
pub enum Created {
    /// The session is stored.
    Done,
    /// A session exists under that key; it was left alone.
    Exists,
}

/// What became of [`Store::update`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store answers one of these")]
pub enum Updated {
    /// Something is not as [`Update::expected`] says; nothing was written.
    Conflict,
    /// It is stored; the fields that merged with what was stored have these values now.
    Done(Fields),
    /// The session is over, or has another epoch; nothing was written.
    Gone,
}

/// What became of [`Store::take`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store answers one of these")]
pub enum Taken {
    /// The value is this call's; `None`: there is none, or another call obtained it.
    Done(Option<Vec<u8>>),
    /// The session is over, or has another epoch.
    Gone,
}

/// What [`Store::take`] is to take.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Take {
    /// Names this call: a store that has done it answers as it did.
    pub id: CommitId,
    /// The epoch that was loaded.
    pub epoch: u32,
    /// The field.
    pub name: Name,
    /// The names under which an older build may have stored it: looked at before the field's own,
    /// and removed with it.
    pub aliases: &'static [&'static str],
}

impl Take {
    /// The call that takes the field `name` of a session of this epoch.
    #[must_use]
    pub const fn new(
        id: CommitId,
        epoch: u32,
        name: Name,
        aliases: &'static [&'static str],
    ) -> Self {
        Self {
            id,
            epoch,
            name,
            aliases,
        }
    }

    /// All names under which the value may be stored, the newest first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().copied().chain([&*self.name])
    }
}

/// What must be stored as it was read, or an update is not done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Expected {
    /// Each of these fields has this value; `None`: it is absent.
    pub fields: Vec<(Name, Option<Vec<u8>>)>,
    /// So many fields have a name that begins like this.
    pub counts: Vec<(String, usize)>,
}

impl Expected {
    /// Whether it is so.
    #[must_use]
    pub fn is_met_by(&self, fields: &Fields) -> bool {
        let mut values = self.fields.iter();
        let mut counts = self.counts.iter();
        values.all(|(name, value)| fields.get(name) == value.as_deref())
            && counts.all(|(prefix, count)| fields.with_prefix(prefix).count() == *count)
    }
}

/// What [`Store::update`] is to do, in one atomic step.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Update {
    /// Names this update: a store that has done it does it no more, and answers as it did.
    pub id: CommitId,
    /// The epoch that was loaded.
    pub epoch: u32,
    /// What must be stored as it was read; `None`: whatever is stored.
    pub expected: Option<Expected>,
    /// What changed in the session's fields.
    pub changes: Changes,
    /// When the request touched the session.
    pub touched_at: Timestamp,
    /// A new verifier and a new epoch, where the token rotates.
    pub rotation: Option<Rotation>,
    /// A new absolute deadline, where it changes.
    pub absolute_deadline: Option<Timestamp>,
    /// A new lifetime, where it changes.
    pub lifetime: Option<Lifetime>,
    /// The record shall live at least this long from now.
    pub ttl: Duration,
}

impl Update {
    /// The update that only touches a session of this epoch.
    #[must_use]
    pub const fn touch(id: CommitId, epoch: u32, touched_at: Timestamp, ttl: Duration) -> Self {
        Self {
            id,
            epoch,
            expected: None,
            changes: Changes::new(),
            touched_at,
            rotation: None,
            absolute_deadline: None,
            lifetime: None,
            ttl,
        }
    }

    /// Whether doing it twice would be another thing than doing it once.
    #[must_use]
    pub fn must_be_remembered(&self) -> bool {
        self.rotation.is_some() || !self.changes.is_empty()
    }

    /// The values in `fields` of the fields that this update merges with what was stored.
    #[must_use]
    pub fn merged(&self, fields: &Fields) -> Fields {
        let merged = self.changes.iter().filter(|(_, change)| change.merges());
        merged
            .filter_map(|(name, _)| Some((name.clone(), fields.get(name)?.to_vec())))
            .collect()
    }

    /// The metadata of the session after this update.
    #[must_use]
    pub fn metadata_after(&self, before: &Metadata) -> Metadata {
        let after = Metadata {
            touched_at: self.touched_at,
            absolute_deadline: self.absolute_deadline.unwrap_or(before.absolute_deadline),
            lifetime: self.lifetime.unwrap_or(before.lifetime),
            ..*before
        };
        match self.rotation {
            Some(rotation) => rotation.metadata_after(&after),
            None => after,
        }
    }
}

/// A new verifier for a session.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Rotation {
    /// The epoch after it.
    pub epoch: u32,
    /// What the store keeps of the new verifier.
    pub digest: VerifierDigest,
    /// When it happens.
    pub at: Timestamp,
    /// Whether somebody is logged in after it.
    pub identified: bool,
}

impl Rotation {
    /// The rotation of a session with this metadata.
    #[must_use]
    pub const fn of(
        metadata: &Metadata,
        digest: VerifierDigest,
        at: Timestamp,
        identified: bool,
    ) -> Self {
        Self {
            epoch: metadata.epoch.wrapping_add(1),
            digest,
            at,
            identified,
        }
    }

    /// The metadata of the session after this rotation.
    #[must_use]
    pub fn metadata_after(&self, before: &Metadata) -> Metadata {
        Metadata {
            digest: self.digest,
            epoch: self.epoch,
            rotated_at: self.at,
            identified: self.identified,
            ..*before
        }
    }
}
