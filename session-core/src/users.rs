//! Which sessions a user has, and what each step of a store does to them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::clock::Timestamp;
use crate::token::SessionId;

/// For this long after all sessions of a user were ended, a login that began before is refused. No request
/// takes longer.
pub(crate) const ENDED_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// The key of a user's [`Roster`]: the session type, and a digest of the identity. Use its `Display` as the
/// key in your store: it is unique, safe to log, and the same in every later version.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct UserKey {
    /// The name of the session type.
    pub name: &'static str,
    pub(crate) digest: [u8; 16],
}

impl UserKey {
    /// The key of the user with this JSON identity. The order of an object's members does not matter, but the
    /// order of a list's items does.
    #[must_use]
    pub fn new(name: &'static str, identity: &[u8]) -> Self {
        // Reading rounds an integer of 128 bits, which would make two users one.
        let value = serde_json::from_slice(identity).ok();
        let value = value.filter(|value| !has_float(value));
        let canonical = value.map(|value| canonical(&value, false).into_bytes());
        let mut digest = [0; 16];
        let text = canonical.as_deref().unwrap_or(identity);
        digest.copy_from_slice(&Sha256::digest(text)[..16]);
        Self { name, digest }
    }
}

impl fmt::Display for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, URL_SAFE_NO_PAD.encode(self.digest))
    }
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_float),
        Value::Object(members) => members.values().any(has_float),
        Value::Number(number) => number.is_f64(),
        _ => false,
    }
}

/// Whether two identities are the same JSON apart from the order of items, as sets write them.
pub(crate) fn is_written_alike(one: &[u8], other: &[u8]) -> bool {
    let unordered = |json: &[u8]| {
        let value: Value = serde_json::from_slice(json).ok()?;
        Some(canonical(&value, true))
    };
    one == other || unordered(one).is_some_and(|one| Some(one) == unordered(other))
}

/// Sorts members, and items if `is_unordered`.
fn canonical(value: &Value, is_unordered: bool) -> String {
    let sorted = |mut parts: Vec<String>| {
        parts.sort_unstable();
        parts.join(",")
    };
    let inner = |value: &Value| canonical(value, is_unordered);
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(inner).collect();
            let items = if is_unordered {
                sorted(items)
            } else {
                items.join(",")
            };
            format!("[{items}]")
        }
        Value::Object(members) => {
            let members = members.iter();
            let members = members
                .map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), inner(value)));
            format!("{{{}}}", sorted(members.collect()))
        }
        plain => plain.to_string(),
    }
}

/// A point in the order of a store's steps, which only the store makes and compares.
///
/// A store with a clock uses its time in microseconds, estimated from below; one that ends with its process
/// counts its steps. Marks never go back: if rosters outlive the process, so must the count, or users whose
/// sessions were ended are refused for a day.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(transparent)]
pub struct Mark(u64);

impl Mark {
    /// The point with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The next point.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What a store keeps for one user. Every later version reads its serde form, if the format names fields, as
/// JSON does.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Roster {
    /// The user's sessions.
    pub members: BTreeMap<SessionId, Member>,
    /// When all sessions were last ended.
    pub ended_at: Option<Mark>,
    /// Until when that counts, in milliseconds since 1970.
    ended_until: u64,
}

/// A session of a user.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Member {
    /// When it last logged in.
    pub entered_at: Mark,
    /// When its record may be removed, and the roster forgets it.
    pub remove_at: Timestamp,
    /// Whether it is being ended.
    pub is_doomed: bool,
    /// The application's label.
    pub label: String,
}

/// What [`UserIndex::step`](crate::store::UserIndex::step) does. A store makes [`apply_to`](Self::apply_to)
/// atomic, and may send a step again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// The last time, by the store's clock, when it may be done.
    pub not_after: Timestamp,
    /// What it does.
    pub what: What,
}

/// What a step does.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "every store does each")]
pub enum What {
    /// A session logs in.
    Admit {
        /// Its id.
        id: SessionId,
        /// When its record may be removed.
        remove_at: Timestamp,
        /// The application's label.
        label: String,
        /// When its request began.
        began_at: Mark,
        /// The limit per user.
        limit: Option<Limit>,
    },
    /// These sessions must end. Returns all that must.
    Doom(Whom),
    /// These sessions have ended.
    Forget(Vec<SessionId>),
    /// Returns the sessions.
    List,
    /// A session's life is extended.
    Renew {
        /// Its id.
        id: SessionId,
        /// When its record may be removed.
        remove_at: Timestamp,
    },
}

impl What {
    /// The one session that it is about.
    #[must_use]
    pub fn id(&self) -> Option<SessionId> {
        match self {
            Self::Admit { id, .. } | Self::Renew { id, .. } => Some(*id),
            Self::Doom(Whom::AllBut(id) | Whom::One(id)) => Some(*id),
            Self::Doom(Whom::All) | Self::Forget(_) | Self::List => None,
        }
    }
}

/// How many sessions a user may have at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limit {
    /// The number.
    pub max: usize,
    /// What happens to one more.
    pub when_full: WhenFull,
}

impl Limit {
    /// At most `max` sessions, at least one.
    #[must_use]
    pub fn new(max: usize, when_full: WhenFull) -> Self {
        let max = max.max(1);
        Self { max, when_full }
    }
}

/// What happens when a user at the limit logs in again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "generated code names each")]
pub enum WhenFull {
    /// The session that logged in first ends.
    EndOldest,
    /// The login is refused.
    Refuse,
}

/// Which sessions of a user must end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "every store does each")]
pub enum Whom {
    /// All, and those of logins that began before.
    All,
    /// Like [`All`](Self::All), except this one.
    AllBut(SessionId),
    /// This one.
    One(SessionId),
}

/// The result of a step.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a store answers one of these")]
pub enum Stepped {
    /// Done. These sessions must end now: delete their records, then forget them.
    Done(Vec<SessionId>),
    /// Done. These sessions must end now, and this is when all were last ended.
    Doomed(Vec<SessionId>, Mark),
    /// A login is refused: all sessions were ended after its request began.
    Ended,
    /// A login is refused: the user has as many sessions as allowed.
    Full,
    /// It came after [`Step::not_after`], at this time of the store. Nothing was done.
    Late(Timestamp),
    /// The user's sessions.
    Listed(Vec<(SessionId, Member)>),
    /// The session must end, or the one to renew is not the user's.
    Unknown,
}

impl Step {
    /// A step that may be done until this time.
    #[must_use]
    pub const fn new(what: What, not_after: Timestamp) -> Self {
        Self { not_after, what }
    }

    /// Applies it to a roster; `now` is the store's time, `present` its present point.
    pub fn apply_to(&self, roster: &mut Roster, now: Timestamp, present: Mark) -> Stepped {
        if now > self.not_after {
            return Stepped::Late(now);
        }
        roster.sweep(now);
        match &self.what {
            What::Admit {
                id,
                remove_at,
                label,
                began_at,
                limit,
            } => {
                if roster
                    .members
                    .get(id)
                    .is_some_and(|member| member.is_doomed)
                {
                    return Stepped::Unknown;
                }
                if roster
                    .ended_at
                    .is_some_and(|ended_at| ended_at >= *began_at)
                {
                    return Stepped::Ended;
                }
                if let Some(limit) = limit
                    && !roster.make_room(*id, limit)
                {
                    return Stepped::Full;
                }
                let before = roster.members.get(id).map(|member| member.remove_at);
                let member = Member {
                    entered_at: present,
                    remove_at: before.map_or(*remove_at, |before| before.max(*remove_at)),
                    is_doomed: false,
                    label: label.clone(),
                };
                roster.members.insert(*id, member);
                Stepped::Done(roster.doomed())
            }
            What::Doom(whom) => {
                let is_meant = |id: &SessionId| match whom {
                    Whom::All => true,
                    Whom::AllBut(but) => id != but,
                    Whom::One(one) => id == one,
                };
                for (_, member) in roster.members.iter_mut().filter(|(id, _)| is_meant(id)) {
                    member.is_doomed = true;
                }
                if !matches!(whom, Whom::One(_)) {
                    let ended_at = roster.ended_at.map_or(present, |at| present.max(at.next()));
                    roster.ended_at = Some(ended_at);
                    roster.ended_until = now.plus(ENDED_FOR).as_millis();
                }
                Stepped::Doomed(roster.doomed(), roster.ended_at.unwrap_or_default())
            }
            What::Forget(ids) => {
                roster.members.retain(|id, _| !ids.contains(id));
                Stepped::Done(Vec::new())
            }
            What::List => Stepped::Listed(roster.members.clone().into_iter().collect()),
            What::Renew { id, remove_at } => match roster.members.get_mut(id) {
                Some(member) if !member.is_doomed => {
                    member.remove_at = member.remove_at.max(*remove_at);
                    Stepped::Done(Vec::new())
                }
                _ => Stepped::Unknown,
            },
        }
    }
}

impl Roster {
    /// When the store may remove it; `None`: now, because it is empty.
    #[must_use]
    pub fn remove_at(&self) -> Option<Timestamp> {
        let members = self.members.values().map(|member| member.remove_at);
        let ended = self.ended_at.is_some();
        let ended = ended.then_some(Timestamp::from_millis(self.ended_until));
        members.chain(ended).max()
    }

    #[cfg(test)]
    pub(crate) fn set_ended(&mut self, ended_at: Option<Mark>, until: Timestamp) {
        (self.ended_at, self.ended_until) = (ended_at, until.as_millis());
    }

    fn sweep(&mut self, now: Timestamp) {
        self.members.retain(|_, member| member.remove_at > now);
        if self.ended_until <= now.as_millis() {
            self.ended_at = None;
        }
    }

    /// Dooms others if need be; `false` if there is no room.
    fn make_room(&mut self, id: SessionId, limit: &Limit) -> bool {
        let is_other = |other: &SessionId, member: &Member| *other != id && !member.is_doomed;
        let members = self.members.iter();
        let others = members.filter(|(other, member)| is_other(other, member));
        let mut others: Vec<_> = others
            .map(|(id, member)| (member.entered_at, *id))
            .collect();
        let excess = (others.len() + 1).saturating_sub(limit.max);
        if excess > 0 && limit.when_full == WhenFull::Refuse {
            return false;
        }
        others.sort_unstable();
        for (_, oldest) in others.iter().take(excess) {
            if let Some(member) = self.members.get_mut(oldest) {
                member.is_doomed = true;
            }
        }
        true
    }

    fn doomed(&self) -> Vec<SessionId> {
        let doomed = self.members.iter().filter(|(_, member)| member.is_doomed);
        doomed.map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_what_the_identity_says_in_whichever_order_its_members_are() {
        let key = |json: &str| UserKey::new("visit", json.as_bytes());
        assert_eq!(
            key(r#"{"a":1,"b":[1,2]}"#),
            key(r#"{ "b": [1, 2], "a": 1 }"#)
        );
        for (one, other) in [
            ("[1,2]", "[2,1]"),
            ("1", "\"1\""),
            (
                "340282366920938463463374607431768211455",
                "340282366920938463463374607431768211454",
            ),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
            ("[[1],2]", "[1,[2]]"),
        ] {
            assert_ne!(key(one), key(other), "{one} {other}");
        }
        assert_ne!(key("1"), UserKey::new("visits", b"1"));
    }

    #[test]
    fn a_set_is_written_alike_in_any_order() {
        assert!(is_written_alike(b"{\"a\":[1,2]}", b"{\"a\":[2,1]}"));
        assert!(!is_written_alike(b"[1,2]", b"[1,3]"));
        assert!(!is_written_alike(b"1", b"\"1\""));
    }
}
