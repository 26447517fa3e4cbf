//! What a store holds of one session: its fields, and 64 bytes of metadata.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::expiry::Lifetime;
use crate::token::VerifierDigest;

/// The name under which a field is stored.
pub type Name = Cow<'static, str>;

/// How the names begin under which the deadlines of fields are stored. All other names that begin
/// with `@` are no field's: a store may use them for itself.
pub const DEADLINE_PREFIX: &str = "@until:";

/// Stored names and their encoded values, sorted by name.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Fields(Vec<(Name, Vec<u8>)>);

impl Fields {
    /// No fields.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The encoded value of a field; `None` where it is absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let index = self.position(name).ok()?;
        self.0.get(index).map(|(_, value)| value.as_slice())
    }

    /// Sets the encoded value of a field.
    pub fn insert(&mut self, name: Name, value: Vec<u8>) {
        match self.position(&name) {
            Ok(index) => self.0[index].1 = value,
            Err(index) => self.0.insert(index, (name, value)),
        }
    }

    /// Makes a field absent.
    pub fn remove(&mut self, name: &str) {
        if let Ok(index) = self.position(name) {
            self.0.remove(index);
        }
    }

    /// Whether every field is absent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All present fields, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &[u8])> {
        self.0.iter().map(|(name, value)| (name, value.as_slice()))
    }

    /// The fields of which the name begins with `prefix`: what follows it, and the value.
    pub fn with_prefix<'f>(&'f self, prefix: &'f str) -> impl Iterator<Item = (&'f str, &'f [u8])> {
        let start = self.0.partition_point(|(name, _)| **name < *prefix);
        self.0[start..]
            .iter()
            .map_while(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_slice())))
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| (**known).cmp(name))
    }
}

impl Extend<(Name, Vec<u8>)> for Fields {
    fn extend<I: IntoIterator<Item = (Name, Vec<u8>)>>(&mut self, fields: I) {
        for (name, value) in fields {
            self.insert(name, value);
        }
    }
}

impl FromIterator<(Name, Vec<u8>)> for Fields {
    fn from_iter<I: IntoIterator<Item = (Name, Vec<u8>)>>(fields: I) -> Self {
        let mut fields: Vec<_> = fields.into_iter().collect();
        // Stable, so that of two of one name the last one stays.
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        fields.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                std::mem::swap(later, kept);
            }
            same
        });
        Self(fields)
    }
}

/// Names and sizes only: the values are somebody's data.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in &self.0 {
            map.entry(name, &format_args!("{} bytes", value.len()));
        }
        map.finish()
    }
}

/// One session as a store holds it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// What the engine needs to know about the session.
    pub metadata: Metadata,
    /// The application's data.
    pub fields: Fields,
}

impl Record {
    /// A record of these parts.
    #[must_use]
    pub const fn new(metadata: Metadata, fields: Fields) -> Self {
        Self { metadata, fields }
    }
}

/// What the engine needs to know about a session, apart from its data.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Metadata {
    /// SHA-256 of the verifier that opens the session.
    pub digest: VerifierDigest,
    /// Raised by every rotation; a commit that loaded another epoch is refused.
    pub epoch: u32,
    /// When the token was rotated last, in whole seconds; the epoch's start: never.
    pub rotated_at: Timestamp,
    /// Whether the session has an identity: somebody is logged in.
    pub identified: bool,
    /// When the session was created.
    pub created_at: Timestamp,
    /// When a request last extended the idle deadline.
    pub touched_at: Timestamp,
    /// When the session ends, however active it is.
    pub absolute_deadline: Timestamp,
    /// What this session has of its own.
    pub lifetime: Lifetime,
}

impl Metadata {
    /// The metadata of a session that is created now.
    #[must_use]
    pub fn created_now(now: Timestamp, absolute_timeout: Duration) -> Self {
        Self {
            created_at: now,
            touched_at: now,
            absolute_deadline: now.plus(absolute_timeout),
            ..Self::default()
        }
    }
}

/// For tests and for struct update syntax: a record of nobody, that expired in 1970.
impl Default for Metadata {
    fn default() -> Self {
        Self {
            digest: VerifierDigest::from_bytes([0; VerifierDigest::LEN]),
            epoch: 0,
            rotated_at: Timestamp::default(),
            identified: false,
            created_at: Timestamp::default(),
            touched_at: Timestamp::default(),
            absolute_deadline: Timestamp::default(),
            lifetime: Lifetime::default(),
        }
    }
}

/// The packed form. Its length is the longest value that Redis keeps in its compact encoding of
/// small hashes (`hash-max-listpack-value 64`), and every part that a commit may replace lies in
/// one piece, so that a script replaces it without knowing what it means.
impl Metadata {
    /// The length of the packed form.
    pub const PACKED_LEN: usize = 64;

    const VERSION: u8 = 1;

    /// The offset of the epoch: 4 bytes.
    const EPOCH: usize = 1;
    /// The length of what says version and epoch.
    #[cfg(feature = "redis")]
    pub(crate) const HEAD_LEN: usize = Self::DIGEST;

    /// The offset of what a rotation replaces: epoch, digest, time of rotation, identified.
    pub(crate) const ROTATION: usize = Self::EPOCH;
    const DIGEST: usize = 5;
    const ROTATED: usize = 37;
    const IDENTIFIED: usize = 41;
    const CREATED: usize = 42;
    /// The offset of the time of the last touch: 6 bytes.
    pub(crate) const TOUCHED: usize = 48;
    /// The offset of the absolute deadline: 6 bytes.
    pub(crate) const ABSOLUTE: usize = 54;
    /// The offset of the lifetime: 4 bytes.
    pub(crate) const LIFETIME: usize = 60;

    /// The packed form.
    #[must_use]
    pub fn pack(&self) -> [u8; Self::PACKED_LEN] {
        let mut packed = [0; Self::PACKED_LEN];
        packed[0] = Self::VERSION;
        packed[Self::ROTATION..Self::CREATED].copy_from_slice(&self.pack_rotation());
        packed[Self::CREATED..Self::TOUCHED].copy_from_slice(&pack_millis(self.created_at));
        packed[Self::TOUCHED..Self::ABSOLUTE].copy_from_slice(&pack_millis(self.touched_at));
        packed[Self::ABSOLUTE..Self::LIFETIME]
            .copy_from_slice(&pack_millis(self.absolute_deadline));
        packed[Self::LIFETIME..].copy_from_slice(&pack_lifetime(self.lifetime));
        packed
    }

    /// Version and epoch, packed: how the packed form begins.
    #[cfg(feature = "redis")]
    pub(crate) fn pack_head(&self) -> [u8; Self::HEAD_LEN] {
        let mut head = [0; Self::HEAD_LEN];
        head.copy_from_slice(&self.pack()[..Self::HEAD_LEN]);
        head
    }

    /// What a rotation replaces, packed.
    pub(crate) fn pack_rotation(&self) -> [u8; Self::CREATED - Self::ROTATION] {
        const START: usize = Metadata::ROTATION;
        let mut packed = [0; Self::CREATED - START];
        packed[..Self::DIGEST - START].copy_from_slice(&self.epoch.to_be_bytes());
        packed[Self::DIGEST - START..Self::ROTATED - START].copy_from_slice(self.digest.as_bytes());
        let seconds = u32::try_from(self.rotated_at.as_millis() / 1000).unwrap_or(u32::MAX);
        packed[Self::ROTATED - START..Self::IDENTIFIED - START]
            .copy_from_slice(&seconds.to_be_bytes());
        packed[Self::IDENTIFIED - START] = u8::from(self.identified);
        packed
    }

    /// Reads the packed form; `None` where it is of another length or version.
    #[must_use]
    pub fn unpack(packed: &[u8]) -> Option<Self> {
        let packed: &[u8; Self::PACKED_LEN] = packed.try_into().ok()?;
        if packed[0] != Self::VERSION {
            return None;
        }
        let digest = packed[Self::DIGEST..Self::ROTATED].try_into().ok()?;
        let epoch = packed[Self::EPOCH..Self::DIGEST].try_into().ok()?;
        let rotated = packed[Self::ROTATED..Self::IDENTIFIED].try_into().ok()?;
        Some(Self {
            digest: VerifierDigest::from_bytes(digest),
            epoch: u32::from_be_bytes(epoch),
            rotated_at: Timestamp::from_millis(u64::from(u32::from_be_bytes(rotated)) * 1000),
            identified: packed[Self::IDENTIFIED] != 0,
            created_at: unpack_millis(&packed[Self::CREATED..Self::TOUCHED]),
            touched_at: unpack_millis(&packed[Self::TOUCHED..Self::ABSOLUTE]),
            absolute_deadline: unpack_millis(&packed[Self::ABSOLUTE..Self::LIFETIME]),
            lifetime: unpack_lifetime(packed[Self::LIFETIME..].try_into().ok()?),
        })
    }
}

const MILLIS_LEN: usize = 6;

/// 48 bits of milliseconds reach to the year 10889; what is later is packed as that.
pub(crate) fn pack_millis(at: Timestamp) -> [u8; MILLIS_LEN] {
    let millis = at.as_millis().min((1 << 48) - 1).to_be_bytes();
    let mut packed = [0; MILLIS_LEN];
    packed.copy_from_slice(&millis[8 - MILLIS_LEN..]);
    packed
}

fn unpack_millis(packed: &[u8]) -> Timestamp {
    let millis = packed
        .iter()
        .fold(0, |millis, &byte| millis << 8 | u64::from(byte));
    Timestamp::from_millis(millis)
}

const PERSISTENT_KNOWN: u32 = 1 << 31;
const PERSISTENT: u32 = 1 << 30;
const IDLE_SECONDS: u32 = Lifetime::MAX_IDLE_SECONDS;

/// Two bits of "persistent", 30 bits of idle seconds (34 years), of which 0 means the type's.
pub(crate) fn pack_lifetime(lifetime: Lifetime) -> [u8; 4] {
    let seconds = lifetime.idle_timeout.map_or(0, |idle| {
        let seconds = u32::try_from(idle.as_secs()).unwrap_or(IDLE_SECONDS);
        seconds.clamp(1, IDLE_SECONDS)
    });
    let persistent = match lifetime.persistent {
        None => 0,
        Some(false) => PERSISTENT_KNOWN,
        Some(true) => PERSISTENT_KNOWN | PERSISTENT,
    };
    (persistent | seconds).to_be_bytes()
}

fn unpack_lifetime(packed: [u8; 4]) -> Lifetime {
    let packed = u32::from_be_bytes(packed);
    let seconds = packed & IDLE_SECONDS;
    Lifetime {
        idle_timeout: (seconds != 0).then(|| Duration::from_secs(seconds.into())),
        persistent: (packed & PERSISTENT_KNOWN != 0).then_some(packed & PERSISTENT != 0),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn metadata_goes_round(
            digest: [u8; 32],
            epoch: u32,
            rotated: u32,
            identified: bool,
            times in proptest::array::uniform3(0_u64..1 << 48),
            idle in proptest::option::of(1_u64..1 << 30),
            persistent: Option<bool>,
        ) {
            let metadata = Metadata {
                digest: VerifierDigest::from_bytes(digest),
                epoch,
                rotated_at: Timestamp::from_millis(u64::from(rotated) * 1000),
                identified,
                created_at: Timestamp::from_millis(times[0]),
                touched_at: Timestamp::from_millis(times[1]),
                absolute_deadline: Timestamp::from_millis(times[2]),
                lifetime: Lifetime { idle_timeout: idle.map(Duration::from_secs), persistent },
            };
            let again = Metadata::unpack(&metadata.pack()).unwrap();
            prop_assert_eq!(again.pack(), metadata.pack());
            prop_assert_eq!(again.created_at, metadata.created_at);
            prop_assert_eq!(again.touched_at, metadata.touched_at);
            prop_assert_eq!(again.absolute_deadline, metadata.absolute_deadline);
            prop_assert_eq!(again.lifetime, metadata.lifetime);
            prop_assert_eq!(again.rotated_at, metadata.rotated_at);
            prop_assert!(again.digest.matches(&metadata.digest));
        }

        #[test]
        fn unpack_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Metadata::unpack(&bytes);
        }
    }

    #[test]
    fn another_version_is_not_read() {
        let mut packed = Metadata::default().pack();
        packed[0] += 1;
        assert!(Metadata::unpack(&packed).is_none());
        assert!(Metadata::unpack(&packed[1..]).is_none());
    }

    #[test]
    fn debug_shows_no_values() {
        let fields = Fields::from_iter([("user".into(), b"\"alice\"".to_vec())]);
        assert_eq!(format!("{fields:?}"), r#"{"user": 7 bytes}"#);
    }
}
