//! What a store holds of one session.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::expiry::Lifetime;
use crate::fields::{Fields, Name, Unsorted};
use crate::store::Created;
use crate::token::Digests;

/// One session as a store holds it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// The session's metadata.
    pub metadata: Metadata,
    /// The session's data.
    pub fields: Fields,
    /// When the store may remove the record, by the store's clock. From then on it counts as absent. In the
    /// answer to a load, this has no meaning.
    pub remove_at: Timestamp,
}

impl Record {
    /// A record with these parts.
    #[must_use]
    pub const fn new(metadata: Metadata, fields: Fields, remove_at: Timestamp) -> Self {
        Self {
            metadata,
            fields,
            remove_at,
        }
    }

    /// Whether the record counts as absent at this time of the store.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.remove_at
    }

    /// The record for a store that keeps bytes. Every later version reads this form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![Self::VERSION];
        bytes.extend(pack_millis(self.remove_at));
        push(&mut bytes, &self.metadata.pack());
        for (name, value) in self.fields.iter() {
            push(&mut bytes, name.as_bytes());
            push(&mut bytes, value);
        }
        bytes
    }

    /// Reads the output of [`to_bytes`](Self::to_bytes); `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (remove_at, rest) = rest.split_at_checked(MILLIS_LEN)?;
        let mut rest = rest;
        let metadata = Metadata::unpack(pull(&mut rest)?)?;
        let mut fields = Unsorted::default();
        while !rest.is_empty() {
            let name = String::from_utf8(pull(&mut rest)?.to_vec()).ok()?;
            fields.push(Name::from(name), pull(&mut rest)?);
        }
        let remove_at = unpack_millis(remove_at);
        (*version == Self::VERSION).then(|| Self::new(metadata, fields.sorted(), remove_at))
    }

    /// Creates the record in a store that keeps bytes. Replaces only an absent or expired record: unreadable
    /// bytes stay.
    pub fn create_in(&self, bytes: &mut Option<Vec<u8>>, now: Timestamp) -> Created {
        if let Some(bytes) = bytes
            && !Self::from_bytes(bytes).is_some_and(|record| record.is_over(now))
        {
            return Created::Refused;
        }
        *bytes = Some(self.to_bytes());
        Created::Done
    }

    const VERSION: u8 = 1;
}

/// Appends a text after its length in 4 bytes, big-endian.
fn push(bytes: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    bytes.extend(length.to_be_bytes());
    bytes.extend(text);
}

fn pull<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, after) = rest.split_first_chunk()?;
    let (text, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(text)
}

/// What the engine knows about a session, apart from its data.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metadata {
    /// The digests of the session's token.
    pub digests: Digests,
    /// When the session was created.
    pub created_at: Timestamp,
    /// When a request last extended the idle deadline.
    pub touched_at: Timestamp,
    /// When the session ends, however busy it is.
    pub absolute_deadline: Timestamp,
    /// When somebody logged in, in whole seconds.
    pub authenticated_at: Option<Timestamp>,
    /// When the token last changed, in whole seconds.
    pub rotated_at: Option<Timestamp>,
    /// The session's own idle timeout, in whole seconds; `None` for the type's.
    pub idle_timeout: Option<Duration>,
    /// Whether the cookie outlives the browser's session; `None` for the type's choice.
    pub persistent: Option<bool>,
    pub(crate) version: u8,
    /// What a later version appended.
    pub(crate) unknown: Box<[u8]>,
}

impl Metadata {
    /// The metadata of a session that begins now.
    #[must_use]
    pub fn created_now(now: Timestamp, absolute_timeout: Duration) -> Self {
        Self {
            created_at: now,
            touched_at: now,
            absolute_deadline: now.plus(absolute_timeout),
            ..Self::default()
        }
    }

    pub(crate) fn set_lifetime(&mut self, lifetime: &Lifetime) {
        let seconds = lifetime.idle_timeout.as_secs();
        let seconds = seconds.clamp(1, IDLE_SECONDS.into());
        self.idle_timeout = Some(Duration::from_secs(seconds));
        self.persistent = Some(lifetime.persistent);
    }
}

/// Nobody's session, which expired in 1970.
impl Default for Metadata {
    fn default() -> Self {
        Self {
            digests: Digests::default(),
            created_at: Timestamp::default(),
            touched_at: Timestamp::default(),
            absolute_deadline: Timestamp::default(),
            authenticated_at: None,
            rotated_at: None,
            idle_timeout: None,
            persistent: None,
            version: Self::VERSION,
            unknown: Box::default(),
        }
    }
}

/// A version, then parts of fixed length, which a script replaces by offset. A later version may only append:
/// this one keeps what it does not know, and reads missing parts as zero. Redis's compact encoding takes
/// values of at most 64 bytes (`hash-max-listpack-value`).
impl Metadata {
    const VERSION: u8 = 1;
    const FIRST_VERSION: u8 = 1;
    pub(crate) const DIGESTS: usize = 1;
    const CREATED: usize = Self::DIGESTS + Digests::LEN;
    pub(crate) const TOUCHED: usize = Self::CREATED + MILLIS_LEN;
    pub(crate) const ABSOLUTE: usize = Self::TOUCHED + MILLIS_LEN;
    pub(crate) const AUTHENTICATED: usize = Self::ABSOLUTE + MILLIS_LEN;
    pub(crate) const ROTATED: usize = Self::AUTHENTICATED + 4;
    pub(crate) const LIFETIME: usize = Self::ROTATED + 4;
    const LEN: usize = Self::LIFETIME + 4;

    /// The packed form.
    #[must_use]
    pub fn pack(&self) -> Vec<u8> {
        let mut packed = Vec::with_capacity(Self::LEN + self.unknown.len());
        packed.push(self.version);
        packed.extend(self.digests.to_bytes());
        packed.extend(pack_millis(self.created_at));
        packed.extend(pack_millis(self.touched_at));
        packed.extend(pack_millis(self.absolute_deadline));
        packed.extend(pack_seconds(self.authenticated_at));
        packed.extend(pack_seconds(self.rotated_at));
        packed.extend(self.pack_lifetime());
        packed.extend(&self.unknown);
        packed
    }

    /// Two bits of "persistent", then 30 bits of idle seconds; 0 seconds for the type's.
    pub(crate) fn pack_lifetime(&self) -> [u8; 4] {
        let seconds = self.idle_timeout.map_or(0, |idle| {
            let seconds = u32::try_from(idle.as_secs()).unwrap_or(IDLE_SECONDS);
            seconds.clamp(1, IDLE_SECONDS)
        });
        let persistent = match self.persistent {
            None => 0,
            Some(false) => PERSISTENT_KNOWN,
            Some(true) => PERSISTENT_KNOWN | PERSISTENT,
        };
        (persistent | seconds).to_be_bytes()
    }

    /// Reads the packed form of any version; `None` for other bytes.
    #[must_use]
    pub fn unpack(packed: &[u8]) -> Option<Self> {
        // Every version has these parts.
        if packed.len() < Self::AUTHENTICATED || packed[0] < Self::FIRST_VERSION {
            return None;
        }
        let mut known = [0; Self::LEN];
        let length = packed.len().min(Self::LEN);
        known[..length].copy_from_slice(&packed[..length]);
        let lifetime = number(&known[Self::LIFETIME..]) as u32;
        let idle = lifetime & IDLE_SECONDS;
        Some(Self {
            digests: Digests::from_bytes(known[Self::DIGESTS..Self::CREATED].try_into().ok()?),
            created_at: unpack_millis(&known[Self::CREATED..Self::TOUCHED]),
            touched_at: unpack_millis(&known[Self::TOUCHED..Self::ABSOLUTE]),
            absolute_deadline: unpack_millis(&known[Self::ABSOLUTE..Self::AUTHENTICATED]),
            authenticated_at: unpack_seconds(&known[Self::AUTHENTICATED..Self::ROTATED]),
            rotated_at: unpack_seconds(&known[Self::ROTATED..Self::LIFETIME]),
            idle_timeout: (idle != 0).then(|| Duration::from_secs(idle.into())),
            persistent: (lifetime & PERSISTENT_KNOWN != 0).then_some(lifetime & PERSISTENT != 0),
            version: packed[0],
            unknown: packed.get(Self::LEN..).unwrap_or_default().into(),
        })
    }
}

const MILLIS_LEN: usize = 6;

/// 48 bits of milliseconds reach to the year 10889.
pub(crate) fn pack_millis(at: Timestamp) -> [u8; MILLIS_LEN] {
    let millis = at.as_millis().min((1 << 48) - 1).to_be_bytes();
    let mut packed = [0; MILLIS_LEN];
    packed.copy_from_slice(&millis[8 - MILLIS_LEN..]);
    packed
}

/// Whole seconds; 0 for no time.
pub(crate) fn pack_seconds(at: Option<Timestamp>) -> [u8; 4] {
    let seconds = at.map_or(0, |at| (at.as_millis() / 1000).max(1));
    u32::try_from(seconds).unwrap_or(u32::MAX).to_be_bytes()
}

fn unpack_millis(packed: &[u8]) -> Timestamp {
    Timestamp::from_millis(number(packed))
}

fn unpack_seconds(packed: &[u8]) -> Option<Timestamp> {
    let seconds = number(packed);
    (seconds != 0).then(|| Timestamp::from_millis(seconds * 1000))
}

fn number(packed: &[u8]) -> u64 {
    packed
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

const PERSISTENT_KNOWN: u32 = 1 << 31;
const PERSISTENT: u32 = 1 << 30;
/// 34 years.
const IDLE_SECONDS: u32 = (1 << 30) - 1;

#[cfg(test)]
mod tests;
