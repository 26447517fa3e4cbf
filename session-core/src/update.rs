//! What one commit does to one record.

use std::borrow::Borrow;
use std::fmt;
use std::time::Duration;

use crate::changes::Changes;
use crate::clock::Timestamp;
use crate::expiry::Lifetime;
use crate::fields::{Fields, Name};
use crate::record::{Metadata, Record};
use crate::token::Digests;

/// What [`Store::update`](crate::store::Store::update) does.
///
/// It is sent once. A store makes [`apply_to`](Self::apply_to) atomic: with a lock, a transaction, or get,
/// apply and compare-and-swap.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Update {
    /// The digests that the request loaded. The record must still have both.
    pub loaded: Digests,
    /// The last time, by the store's clock, when the update may be done.
    pub not_after: Timestamp,
    /// What must still be stored unchanged, for a transaction.
    pub expected: Option<Expected>,
    /// What changed in the session's fields.
    pub changes: Changes,
    /// When the request extended the idle deadline, if it did. The stored time never moves backwards.
    pub touched_at: Option<Timestamp>,
    /// The new token, if it changes.
    pub rotation: Option<Rotation>,
    /// The new absolute deadline, if it changes. Without a [`lifetime`](Self::lifetime), the stored one never
    /// moves backwards.
    pub absolute_deadline: Option<Timestamp>,
    /// The session's own lifetime, if it changes.
    pub lifetime: Option<Lifetime>,
    /// The record lives at least this long from now, and never shorter than without the update.
    pub ttl: Duration,
    /// The packed lifetime that a login loaded: it must be unchanged.
    pub(crate) loaded_lifetime: Option<[u8; 4]>,
    /// Whether the update ends the session, because another user's begins. Then it returns all fields, and the
    /// record is over: the store may remove it.
    pub ends: bool,
}

/// The new token, as a store keeps it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Rotation {
    /// The digests of both halves.
    pub digests: Digests,
    /// When it happens, by the store's clock.
    pub at: Timestamp,
    /// Whether a user just logged in.
    pub is_login: bool,
}

impl Rotation {
    /// The rotation to a token with these digests.
    #[must_use]
    pub const fn new(digests: Digests, at: Timestamp, is_login: bool) -> Self {
        Self {
            digests,
            at,
            is_login,
        }
    }
}

/// The result of an update. Only `Done` writes anything.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store answers one of these")]
pub enum Updated {
    /// Something differs from [`Update::expected`].
    Conflict,
    /// It is stored. These are the new values of merged fields, and the taken values; if it
    /// [ended](Update::ends) the session, all its fields.
    Done(Fields),
    /// The session is absent, over, or has another token.
    Gone,
    /// It came after [`Update::not_after`], at this time of the store.
    Late(Timestamp),
    /// This counter would leave its range.
    Overflow(Name),
}

impl Update {
    /// An update of a session with these digests that changes nothing yet.
    #[must_use]
    pub const fn new(loaded: Digests, not_after: Timestamp) -> Self {
        Self {
            loaded,
            not_after,
            expected: None,
            changes: Changes::new(),
            touched_at: None,
            rotation: None,
            absolute_deadline: None,
            lifetime: None,
            ttl: Duration::ZERO,
            loaded_lifetime: None,
            ends: false,
        }
    }

    /// Applies the update; `now` is the store's time. If it refuses, the record is unchanged.
    pub fn apply_to(&self, record: &mut Record, now: Timestamp) -> Updated {
        if now > self.not_after {
            return Updated::Late(now);
        }
        if record.is_over(now) || !record.metadata.digests.matches(&self.loaded) {
            return Updated::Gone;
        }
        let lifetime = record.metadata.pack_lifetime();
        if self
            .loaded_lifetime
            .is_some_and(|loaded| loaded != lifetime)
        {
            return Updated::Gone;
        }
        let expected = self.expected.as_ref();
        if expected.is_some_and(|expected| !expected.is_met_by(&record.fields)) {
            return Updated::Conflict;
        }
        if self.ends {
            record.remove_at = now;
            return Updated::Done(std::mem::take(&mut record.fields));
        }
        let answer = match self.changes.apply(&mut record.fields) {
            Ok(answer) => answer,
            Err(name) => return Updated::Overflow(name),
        };
        record.metadata = self.metadata_after(&record.metadata);
        record.remove_at = record.remove_at.max(now.plus(self.ttl));
        Updated::Done(answer)
    }

    /// Like [`apply_to`](Self::apply_to), for a store that keeps bytes. Absent and unreadable records count
    /// as gone.
    pub fn apply_to_bytes(&self, bytes: &mut Option<Vec<u8>>, now: Timestamp) -> Updated {
        let Some(mut record) = bytes.as_deref().and_then(Record::from_bytes) else {
            return Updated::Gone;
        };
        let updated = self.apply_to(&mut record, now);
        if matches!(updated, Updated::Done(_)) {
            *bytes = (!record.is_over(now)).then(|| record.to_bytes());
        }
        updated
    }

    /// The metadata after the update.
    #[must_use]
    pub fn metadata_after(&self, before: &Metadata) -> Metadata {
        let mut after = before.clone();
        after.touched_at = before.touched_at.max(self.touched_at.unwrap_or_default());
        if let Some(rotation) = self.rotation {
            let at = Some(rotation.at.in_whole_seconds());
            after.digests = rotation.digests;
            after.rotated_at = at;
            if rotation.is_login {
                after.authenticated_at = at;
            }
        }
        if let Some(deadline) = self.absolute_deadline {
            // Only the session's own lifetime may shorten it.
            after.absolute_deadline = match self.lifetime {
                Some(_) => deadline,
                None => before.absolute_deadline.max(deadline),
            };
        }
        if let Some(lifetime) = &self.lifetime {
            after.set_lifetime(lifetime);
        }
        after
    }
}

/// What [`Store::delete`](crate::store::Store::delete) does, in one atomic step.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Delete {
    /// The digests of a token whose [login half](Digests::login_matches) the session must still have, so a
    /// request from before a login does not log that user out. `None` deletes any session.
    pub login: Option<Digests>,
    /// The last time, by the store's clock, when the delete may be done.
    pub not_after: Timestamp,
}

/// The result of a delete.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store answers one of these")]
pub enum Deleted {
    /// No session exists under that key.
    Done,
    /// It came after [`Delete::not_after`], at this time of the store. Nothing was done.
    Late(Timestamp),
    /// The session belongs to another login. It was left alone.
    Other,
}

impl Delete {
    /// The delete of a session of this login, or of any.
    #[must_use]
    pub const fn new(login: Option<Digests>, not_after: Timestamp) -> Self {
        Self { login, not_after }
    }

    /// Applies the delete. `now` is the store's time. Once done, the record is `None`.
    pub fn apply_to<R: Borrow<Record>>(&self, record: &mut Option<R>, now: Timestamp) -> Deleted {
        if now > self.not_after {
            return Deleted::Late(now);
        }
        let alive = record.as_ref().map(Borrow::borrow);
        let alive = alive.filter(|record| !record.is_over(now));
        let digests = alive.map(|record| &record.metadata.digests);
        let is_other = |(digests, login): (&Digests, &Digests)| !digests.login_matches(login);
        if digests.zip(self.login.as_ref()).is_some_and(is_other) {
            return Deleted::Other;
        }
        *record = None;
        Deleted::Done
    }

    /// Like [`apply_to`](Self::apply_to), for a store that keeps bytes. Unreadable bytes are no session, and
    /// stay.
    pub fn apply_to_bytes(&self, bytes: &mut Option<Vec<u8>>, now: Timestamp) -> Deleted {
        let mut record = bytes.as_deref().and_then(Record::from_bytes);
        let was_session = record.is_some();
        let deleted = self.apply_to(&mut record, now);
        if was_session && record.is_none() {
            *bytes = None;
        }
        deleted
    }
}

/// What must still be stored unchanged, or the update is not done.
#[derive(Clone, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Expected {
    /// These fields have these values; `None` if the field is absent.
    pub fields: Vec<(Name, Option<Vec<u8>>)>,
    /// This many fields have a name with this prefix.
    pub counts: Vec<(String, usize)>,
}

impl Expected {
    #[must_use]
    pub(crate) fn is_met_by(&self, fields: &Fields) -> bool {
        let mut values = self.fields.iter();
        let mut counts = self.counts.iter();
        values.all(|(name, value)| fields.get(name) == value.as_deref())
            && counts.all(|(prefix, count)| fields.with_prefix(prefix).count() == *count)
    }
}

/// The values are private.
impl fmt::Debug for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.fields.iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}
