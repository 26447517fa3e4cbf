//! One declared field: its name, its merge rule, and how its value becomes bytes and back.

use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::fields::{DEADLINE_PREFIX, Fields, Name};
use crate::merge::{Counter, Extreme, Rule};
use crate::storable;
use crate::value::{CounterValue, FieldValue, MapValue, OnceValue, OrderedValue};

/// A declared field of the session type `T`.
pub struct Field<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) type_name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) rule: Rule,
    pub(crate) keep: bool,
    pub(crate) ttl: Option<Duration>,
    pub(crate) max_size: usize,
    pub(crate) on_unreadable: OnUnreadable,
    pub(crate) is_identity: bool,
    pub(crate) is_once: bool,
    pub(crate) codec: Codec<T>,
}

/// What to do when a stored value doesn't parse as the field's type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "generated code names each")]
pub enum OnUnreadable {
    /// The field has its default. What is stored stays until the field is written.
    Default,
    /// The session counts as absent.
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
    /// How many bytes the field, or each of its entries, may take by default: 64 KiB.
    const MAX_SIZE: usize = 64 << 10;

    /// A field stored under `name`. The last writer wins.
    #[must_use]
    pub const fn new(
        name: &'static str,
        type_name: &'static str,
        codec: &'static dyn ValueCodec<T>,
    ) -> Self {
        Self::with_codec(name, type_name, Codec::Value(codec))
    }

    /// A map whose entries are stored one by one, each under `name`, `:` and its key.
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
            keep: false,
            ttl: None,
            max_size: Self::MAX_SIZE,
            on_unreadable: OnUnreadable::Default,
            is_identity: false,
            is_once: false,
            codec,
        }
    }

    /// The same field, which older builds may have stored under these names. They are read before
    /// the present name.
    #[must_use]
    pub const fn aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// The same field as a counter: differences are added up.
    #[must_use]
    pub const fn counter<V: CounterValue>(self) -> Self {
        self.merging(Rule::Counter(Counter::new(V::RANGE)))
    }

    /// The same field, whose largest value stays.
    #[must_use]
    pub const fn max<V: OrderedValue>(self) -> Self {
        self.merging(Rule::Extreme(Extreme::Max))
    }

    /// The same field, whose smallest value stays.
    #[must_use]
    pub const fn min<V: OrderedValue>(self) -> Self {
        self.merging(Rule::Extreme(Extreme::Min))
    }

    const fn merging(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// The same field, which says who is logged in.
    #[must_use]
    pub const fn identity(self) -> Self {
        Self {
            is_identity: true,
            ..self
        }
    }

    /// The same field, whose value only one request can take.
    #[must_use]
    pub const fn once<V: OnceValue>(self) -> Self {
        Self {
            is_once: true,
            ..self
        }
    }

    /// The same field, which survives a change of user.
    #[must_use]
    pub const fn keep(self) -> Self {
        Self { keep: true, ..self }
    }

    /// The same field with another limit in bytes; in a map, for each entry. Default: 64 KiB.
    #[must_use]
    pub const fn max_size(self, max_size: usize) -> Self {
        Self { max_size, ..self }
    }

    /// The same field with a deadline of its own, counted from its last change.
    #[must_use]
    pub const fn ttl(self, ttl: Duration) -> Self {
        Self {
            ttl: Some(ttl),
            ..self
        }
    }

    /// The same field, which does this if it cannot be read. Default: [`OnUnreadable::Default`].
    #[must_use]
    pub const fn on_unreadable(self, on_unreadable: OnUnreadable) -> Self {
        Self {
            on_unreadable,
            ..self
        }
    }

    /// All names under which the field may be stored, the newest value first. Each change removes
    /// the old names, so a value under one of them was stored later than one under the present
    /// name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.aliases.iter().copied().chain([self.name])
    }

    /// Whether the field owns this stored name: its own, an older one, an entry's or its
    /// deadline's.
    pub(crate) fn owns(&self, stored: &str) -> bool {
        let is_of = |name: &str| {
            let rest = stored.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        };
        let mut names = self.names();
        names.any(is_of) || self.deadline_name().is_some_and(|name| name == stored)
    }

    /// The name under which its deadline is stored, if it has one.
    pub(crate) fn deadline_name(&self) -> Option<Name> {
        self.ttl?;
        Some(format!("{DEADLINE_PREFIX}{}", self.name).into())
    }

    /// Appends what the store holds for the field.
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

    /// Sets the field to what is stored, if anything is. Reports the stored names that cannot be
    /// read.
    pub(crate) fn decode(
        &self,
        data: &mut T,
        stored: &Fields,
        faults: &mut Vec<(String, OnUnreadable)>,
    ) {
        match self.codec {
            Codec::Entries(codec) => {
                // The newest last, so that its entries stay.
                for name in std::iter::once(&self.name).chain(self.aliases) {
                    for (key, value) in stored.with_prefix(&format!("{name}:")) {
                        if !codec.decode(data, key, value) {
                            faults.push((format!("{name}:{key}"), self.on_unreadable));
                        }
                    }
                }
            }
            Codec::Value(codec) => {
                let values: Vec<_> = self.names().filter_map(|name| stored.get(name)).collect();
                let value = self.rule.combined(&values);
                if value.is_some_and(|value| !codec.decode(data, &value)) {
                    faults.push((self.name.to_owned(), self.on_unreadable));
                }
            }
        }
    }

    /// Whether the field's value equals the one that was encoded so.
    pub(crate) fn is_same(&self, data: &T, encoded: Option<&[u8]>) -> bool {
        match self.codec {
            Codec::Entries(_) => false,
            Codec::Value(codec) => encoded.is_some_and(|bytes| codec.is_same(data, bytes)),
        }
    }

    /// Refuses what could not be read back once it is stored. `is_changed` says of the name of the
    /// field, or of an entry, whether it is about to be stored: only then is it read back. What is
    /// written as `null` is looked for everywhere, since it may look unchanged by that.
    pub(crate) fn check_storable(
        &self,
        data: &T,
        is_changed: &dyn Fn(&str) -> bool,
    ) -> Result<(), Error> {
        let checked = match self.codec {
            Codec::Entries(codec) => {
                codec.check(data, &|key| is_changed(&format!("{}:{key}", self.name)))
            }
            Codec::Value(codec) => codec.check(data, is_changed(self.name)),
        };
        checked.map_err(|reason| Error::unstorable(self.name, reason))
    }
}

impl<T> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field")
            .field("name", &self.name)
            .field("type_name", &self.type_name)
            .field("aliases", &self.aliases)
            .field("rule", &self.rule)
            .field("keep", &self.keep)
            .field("ttl", &self.ttl)
            .field("max_size", &self.max_size)
            .field("on_unreadable", &self.on_unreadable)
            .field("is_identity", &self.is_identity)
            .field("is_once", &self.is_once)
            .finish_non_exhaustive()
    }
}

/// Encodes and decodes one field of `T`.
pub trait ValueCodec<T>: Send + Sync {
    /// The field's value, encoded.
    ///
    /// # Errors
    ///
    /// If its `Serialize` fails.
    fn encode(&self, data: &T) -> Result<Vec<u8>, serde_json::Error>;

    /// Sets the field to the value in `bytes`. If they don't parse as its type, it answers `false`
    /// and leaves the field alone.
    fn decode(&self, data: &mut T, bytes: &[u8]) -> bool;

    /// Checks that the field's value can be read back; tries it only if the value changed.
    ///
    /// # Errors
    ///
    /// Why not.
    fn check(&self, data: &T, is_changed: bool) -> Result<(), &'static str>;

    /// Whether the field's value equals the one that `bytes` encode, though it is encoded in another
    /// way. Only identities are compared so.
    fn is_same(&self, data: &T, bytes: &[u8]) -> bool;
}

/// Encodes and decodes the entries of one map of `T`.
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

    /// Adds an entry; `false` if its key or its value cannot be read.
    fn decode(&self, data: &mut T, key: &str, value: &[u8]) -> bool;

    /// Checks that the entries can be read back; tries it only for keys that changed.
    ///
    /// # Errors
    ///
    /// Why not.
    fn check(&self, data: &T, is_changed: &dyn Fn(&str) -> bool) -> Result<(), &'static str>;
}

/// Finds a field of type `V` in a `T` and encodes it: the [`ValueCodec`] of every field except maps
/// of entries.
///
/// The encoding is JSON, so integers are decimal, and an operator can read what is stored.
pub struct Accessor<T, V> {
    get: fn(&T) -> &V,
    get_mut: fn(&mut T) -> &mut V,
    encode: fn(&V) -> Result<Vec<u8>, serde_json::Error>,
    decode: fn(&[u8]) -> Option<V>,
    check: fn(&V) -> Result<(), &'static str>,
    migrate: Option<fn(&str) -> Option<V>>,
    is_same: Option<fn(&V, &V) -> bool>,
}

/// The field of type `V` that both functions find.
///
/// Only this function asks whether `V` can be stored. So the compiler complains once, and
/// underlines the type where the user wrote it.
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
        check: |value| storable::check(value),
        migrate: None,
        is_same: None,
    }
}

impl<T, V> Accessor<T, V> {
    /// The same field, whose values are compared as values: two sets are equal that iterate in
    /// another order.
    #[must_use]
    pub const fn compared(self) -> Self
    where
        V: PartialEq,
    {
        Self {
            is_same: Some(V::eq),
            ..self
        }
    }

    /// The same field, of which `migrate` reads what is stored in an older form.
    #[must_use]
    pub const fn migrate(self, migrate: fn(&str) -> Option<V>) -> Self {
        Self {
            migrate: Some(migrate),
            ..self
        }
    }

    fn read(&self, bytes: &[u8]) -> Option<V> {
        let migrated = || self.migrate?(str::from_utf8(bytes).ok()?);
        (self.decode)(bytes).or_else(migrated)
    }
}

impl<T, V> ValueCodec<T> for Accessor<T, V> {
    fn encode(&self, data: &T) -> Result<Vec<u8>, serde_json::Error> {
        (self.encode)((self.get)(data))
    }

    fn decode(&self, data: &mut T, bytes: &[u8]) -> bool {
        let value = self.read(bytes);
        let value = value.map(|value| *(self.get_mut)(data) = value);
        value.is_some()
    }

    fn check(&self, data: &T, is_changed: bool) -> Result<(), &'static str> {
        (self.check)((self.get)(data))?;
        if !is_changed {
            return Ok(());
        }
        let read = self.encode(data).ok().and_then(|bytes| self.read(&bytes));
        read.map(drop).ok_or(storable::NOT_READ_BACK)
    }

    fn is_same(&self, data: &T, bytes: &[u8]) -> bool {
        let other = self.is_same.zip(self.read(bytes));
        other.is_some_and(|(is_same, other)| is_same((self.get)(data), &other))
    }
}

impl<T, V> fmt::Debug for Accessor<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accessor").finish_non_exhaustive()
    }
}

/// Finds a map of type `M` in a `T` and encodes its entries: the [`EntriesCodec`] of maps of
/// entries.
pub struct Entries<T, M> {
    get: fn(&T) -> &M,
    get_mut: fn(&mut T) -> &mut M,
    encode: fn(&M, Put<'_>) -> Result<(), serde_json::Error>,
    decode: fn(&mut M, &str, &[u8]) -> bool,
    check: fn(&M, IsChanged<'_>) -> Result<(), &'static str>,
}

type Put<'p> = &'p mut dyn FnMut(String, Vec<u8>);
type IsChanged<'p> = &'p dyn Fn(&str) -> bool;

/// The map of type `M` that both functions find.
///
/// Like [`accessor`], only this function asks whether `M` is one.
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
        check: M::check,
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

    fn check(&self, data: &T, is_changed: &dyn Fn(&str) -> bool) -> Result<(), &'static str> {
        (self.check)((self.get)(data), is_changed)
    }
}

impl<T, M> fmt::Debug for Entries<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}
