//! One declared field: its name, its merge rule, and the way between its value and its bytes.

use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::record::{DEADLINE_PREFIX, Fields, Name};
use crate::rule::{self, Counter, Rule};
use crate::value::{CounterValue, FieldValue, IdentityValue, MapValue, OnceValue, OrderedValue};

/// A declared field of the session type `T`.
pub struct Field<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) type_name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) rule: Rule,
    pub(crate) group: Option<&'static str>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) on_error: OnError,
    pub(crate) is_identity: bool,
    pub(crate) is_once: bool,
    pub(crate) codec: Codec<T>,
}

/// What a stored value does that cannot be read as what the field is declared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "generated code names each")]
pub enum OnError {
    /// The field has its default; what is stored stays until the field is written.
    Default,
    /// The session is taken for absent.
    DropSession,
    /// The request fails.
    Error,
}

/// The way between a field and what is stored of it.
pub(crate) enum Codec<T: 'static> {
    /// One stored field for each entry of a map.
    Entries(&'static dyn EntriesCodec<T>),
    /// One stored field.
    Value(&'static dyn ValueCodec<T>),
}

impl<T> Field<T> {
    /// A field stored under `name`, of which the last writer wins.
    #[must_use]
    pub const fn new(
        name: &'static str,
        type_name: &'static str,
        codec: &'static dyn ValueCodec<T>,
    ) -> Self {
        Self::with_codec(name, type_name, Codec::Value(codec))
    }

    /// A map of which each entry is stored on its own, under `name`, `:` and its key.
    #[must_use]
    pub const fn entries(
        name: &'static str,
        type_name: &'static str,
        codec: &'static dyn EntriesCodec<T>,
    ) -> Self {
        Self::with_codec(name, type_name, Codec::Entries(codec))
    }

    const fn with_codec(name: &'static str, type_name: &'static str, codec: Codec<T>) -> Self {
        Self {
            name,
            type_name,
            aliases: &[],
            rule: Rule::Last,
            group: None,
            ttl: None,
            on_error: OnError::Default,
            is_identity: false,
            is_once: false,
            codec,
        }
    }

    /// The same field, read under these names too where the first has no value.
    #[must_use]
    pub const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// The same field, of which differences are added up.
    #[must_use]
    pub const fn counter<V: CounterValue>(self) -> Self {
        self.merging(Rule::Counter(Counter::new(V::RANGE)))
    }

    /// The same field, of which the largest value stays.
    #[must_use]
    pub const fn max<V: OrderedValue>(self) -> Self {
        self.merging(Rule::Max)
    }

    /// The same field, of which the smallest value stays.
    #[must_use]
    pub const fn min<V: OrderedValue>(self) -> Self {
        self.merging(Rule::Min)
    }

    const fn merging(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// The same field, as the one that says who is logged in.
    #[must_use]
    pub const fn identity<V: IdentityValue>(self) -> Self {
        Self {
            is_identity: true,
            ..self
        }
    }

    /// The same field, of which one request obtains the value.
    #[must_use]
    pub const fn once<V: OnceValue>(self) -> Self {
        Self {
            is_once: true,
            ..self
        }
    }

    /// The same field, written together with all of its group.
    #[must_use]
    pub const fn group(self, group: &'static str) -> Self {
        Self {
            group: Some(group),
            ..self
        }
    }

    /// The same field, absent so long after its last change.
    #[must_use]
    pub const fn ttl(self, ttl: Duration) -> Self {
        Self {
            ttl: Some(ttl),
            ..self
        }
    }

    /// The same field, which does this where it cannot be read.
    #[must_use]
    pub const fn on_error(self, on_error: OnError) -> Self {
        Self { on_error, ..self }
    }

    /// All names under which the field may be stored. What is found under an old one was stored
    /// later than what is under the present one, since each change removes the old ones.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.aliases.iter().copied().chain([self.name])
    }

    /// Under which name its deadline is stored, if it has one.
    pub(crate) fn deadline_name(&self) -> Option<Name> {
        self.ttl?;
        Some(format!("{DEADLINE_PREFIX}{}", self.name).into())
    }

    /// Appends what is to be stored of the field.
    pub(crate) fn encode(&self, data: &T, fields: &mut Vec<(Name, Vec<u8>)>) -> Result<(), Error> {
        let encoded = match self.codec {
            Codec::Entries(codec) => codec.encode(data, &mut |key, value| {
                fields.push((format!("{}:{key}", self.name).into(), value));
            }),
            Codec::Value(codec) => codec.encode(data).map(|value| {
                fields.push((self.name.into(), value));
            }),
        };
        encoded.map_err(|error| Error::encode(self.name, error))
    }

    /// Sets the field to what is stored of it, if anything is; `false` where that cannot be read.
    pub(crate) fn decode(&self, data: &mut T, stored: &Fields) -> bool {
        match self.codec {
            Codec::Entries(codec) => {
                let mut readable = true;
                // The newest last, so that its entries stay.
                for name in std::iter::once(&self.name).chain(self.aliases) {
                    for (key, value) in stored.with_prefix(&format!("{name}:")) {
                        readable &= codec.decode(data, key, value);
                    }
                }
                readable
            }
            Codec::Value(codec) => {
                let values: Vec<_> = self.names().filter_map(|name| stored.get(name)).collect();
                let value = rule::combined(self.rule, &values);
                value.is_none_or(|value| codec.decode(data, &value))
            }
        }
    }
}

impl<T> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field")
            .field("name", &self.name)
            .field("type_name", &self.type_name)
            .field("aliases", &self.aliases)
            .field("rule", &self.rule)
            .field("group", &self.group)
            .field("ttl", &self.ttl)
            .field("on_error", &self.on_error)
            .field("is_identity", &self.is_identity)
            .field("is_once", &self.is_once)
            .finish_non_exhaustive()
    }
}

/// The way between one field of `T` and its bytes.
pub trait ValueCodec<T>: Send + Sync {
    /// The field's value, encoded.
    ///
    /// # Errors
    ///
    /// If its `Serialize` fails.
    fn encode(&self, data: &T) -> Result<Vec<u8>, serde_json::Error>;

    /// Sets the field to the value that `bytes` encode; `false` where they encode none of its type,
    /// and the field is as it was.
    fn decode(&self, data: &mut T, bytes: &[u8]) -> bool;
}

/// The way between one map of `T` and its entries.
pub trait EntriesCodec<T>: Send + Sync {
    /// Hands each entry to `put`: its key as text, its value encoded.
    ///
    /// # Errors
    ///
    /// If the `Serialize` of a value fails.
    fn encode(
        &self,
        data: &T,
        put: &mut dyn FnMut(String, Vec<u8>),
    ) -> Result<(), serde_json::Error>;

    /// Adds an entry; `false` where its key or its value cannot be read.
    fn decode(&self, data: &mut T, key: &str, value: &[u8]) -> bool;
}

/// Finds a field of type `V` in a `T`, and encodes it: the [`ValueCodec`] of every field but maps
/// of entries.
///
/// The encoding is JSON, so that integers are decimal, as Redis counts, and an operator can read
/// what is stored.
pub struct Accessor<T, V> {
    get: fn(&T) -> &V,
    get_mut: fn(&mut T) -> &mut V,
    encode: fn(&V) -> Result<Vec<u8>, serde_json::Error>,
    decode: fn(&[u8]) -> Option<V>,
    migrate: Option<fn(&str) -> Option<V>>,
}

/// The field of type `V` that both functions find.
///
/// This is the one place that asks whether `V` can be stored, so that the compiler complains once,
/// and underlines the type where the user wrote it.
#[must_use]
pub const fn accessor<V: FieldValue, T>(
    get: fn(&T) -> &V,
    get_mut: fn(&mut T) -> &mut V,
) -> Accessor<T, V> {
    Accessor {
        get,
        get_mut,
        encode: |value| serde_json::to_vec(value),
        decode: |bytes| serde_json::from_slice(bytes).ok(),
        migrate: None,
    }
}

impl<T, V> Accessor<T, V> {
    /// The same field, of which `migrate` reads what is stored in an older form.
    #[must_use]
    pub const fn migrate(self, migrate: fn(&str) -> Option<V>) -> Self {
        Self {
            migrate: Some(migrate),
            ..self
        }
    }
}

impl<T, V> ValueCodec<T> for Accessor<T, V> {
    fn encode(&self, data: &T) -> Result<Vec<u8>, serde_json::Error> {
        (self.encode)((self.get)(data))
    }

    fn decode(&self, data: &mut T, bytes: &[u8]) -> bool {
        let migrated = || self.migrate?(str::from_utf8(bytes).ok()?);
        match (self.decode)(bytes).or_else(migrated) {
            Some(value) => {
                *(self.get_mut)(data) = value;
                true
            }
            None => false,
        }
    }
}

impl<T, V> fmt::Debug for Accessor<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accessor").finish_non_exhaustive()
    }
}

/// Finds a map of type `M` in a `T`, and encodes its entries: the [`EntriesCodec`] of maps of
/// entries.
pub struct Entries<T, M> {
    get: fn(&T) -> &M,
    get_mut: fn(&mut T) -> &mut M,
    encode: fn(&M, Put<'_>) -> Result<(), serde_json::Error>,
    decode: fn(&mut M, &str, &[u8]) -> bool,
}

type Put<'p> = &'p mut dyn FnMut(String, Vec<u8>);

/// The map of type `M` that both functions find.
///
/// As with [`accessor`], nothing else asks whether it is one.
#[must_use]
pub const fn entries<M: MapValue, T>(
    get: fn(&T) -> &M,
    get_mut: fn(&mut T) -> &mut M,
) -> Entries<T, M> {
    Entries {
        get,
        get_mut,
        encode: M::encode,
        decode: M::decode,
    }
}

impl<T, M> EntriesCodec<T> for Entries<T, M> {
    fn encode(
        &self,
        data: &T,
        put: &mut dyn FnMut(String, Vec<u8>),
    ) -> Result<(), serde_json::Error> {
        (self.encode)((self.get)(data), put)
    }

    fn decode(&self, data: &mut T, key: &str, value: &[u8]) -> bool {
        (self.decode)((self.get_mut)(data), key, value)
    }
}

impl<T, M> fmt::Debug for Entries<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}
