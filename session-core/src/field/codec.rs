//! How a field's value becomes bytes and back.

use std::fmt;

use crate::fields::{Name, Unsorted};
use crate::storable;
use crate::value::{FieldValue, MapValue};

/// Encodes and decodes one field as JSON, which an operator can read. Only an entry of a map has a key; any
/// other field has `""`.
pub trait Codec<T>: Send + Sync {
    /// Whether each entry has its own stored name.
    fn is_entries(&self) -> bool;

    /// Adds the stored form of the field `name`.
    fn encode(
        &self,
        name: &'static str,
        data: &T,
        fields: &mut Unsorted,
    ) -> Result<(), serde_json::Error>;

    /// Sets the value of a key. If the bytes do not parse, returns `false` and leaves the field alone.
    fn decode(&self, data: &mut T, key: &str, bytes: &[u8]) -> bool;

    /// Says why a value cannot be read back. Reads back only what is to be stored.
    fn check(&self, data: &T, written: Written<'_>) -> Result<(), &'static str>;

    /// Compares identities, whose bytes may differ.
    fn is_same(&self, data: &T, bytes: &[u8]) -> bool;
}

/// The bytes to be stored for a key, if any.
type Written<'w> = &'w dyn Fn(&str) -> Option<&'w [u8]>;

/// The [`Codec`] of every field except maps of entries.
pub struct Accessor<T, V> {
    get: fn(&T) -> &V,
    get_mut: fn(&mut T) -> &mut V,
    encode: fn(&V, &mut Vec<u8>) -> Result<(), serde_json::Error>,
    decode: fn(&[u8]) -> Option<V>,
    check: fn(&V) -> Result<(), &'static str>,
    migrate: Option<fn(&str) -> Option<V>>,
    is_same: Option<fn(&V, &V) -> bool>,
}

/// The field that both functions find.
///
/// Only this function requires that `V` can be stored, so the compiler complains once, where the user wrote
/// it.
#[must_use]
pub const fn accessor<V: FieldValue, T>(
    get: fn(&T) -> &V,
    get_mut: fn(&mut T) -> &mut V,
) -> Accessor<T, V> {
    Accessor {
        get,
        get_mut,
        encode: |value, bytes| serde_json::to_writer(bytes, value),
        decode: |bytes| serde_json::from_slice(bytes).ok(),
        check: |value| storable::check(value),
        migrate: None,
        is_same: None,
    }
}

impl<T, V> Accessor<T, V> {
    /// Compares values, not bytes: equal sets may iterate in different orders.
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

    /// Reads older stored forms with `migrate`.
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

impl<T, V> Codec<T> for Accessor<T, V> {
    fn is_entries(&self) -> bool {
        false
    }

    fn encode(
        &self,
        name: &'static str,
        data: &T,
        fields: &mut Unsorted,
    ) -> Result<(), serde_json::Error> {
        fields.write(name.into(), |bytes| (self.encode)((self.get)(data), bytes))
    }

    fn decode(&self, data: &mut T, _: &str, bytes: &[u8]) -> bool {
        let value = self.read(bytes);
        let value = value.map(|value| *(self.get_mut)(data) = value);
        value.is_some()
    }

    fn check(&self, data: &T, written: Written<'_>) -> Result<(), &'static str> {
        (self.check)((self.get)(data))?;
        match written("").map(|bytes| self.read(bytes)) {
            Some(None) => Err(storable::NOT_READ_BACK),
            Some(Some(_)) | None => Ok(()),
        }
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

/// The [`Codec`] of maps of entries.
pub struct Entries<T, M> {
    get: fn(&T) -> &M,
    get_mut: fn(&mut T) -> &mut M,
    encode: fn(&'static str, &M, &mut Unsorted) -> Result<(), serde_json::Error>,
    decode: fn(&mut M, &str, &[u8]) -> bool,
    check: fn(&M, Written<'_>) -> Result<(), &'static str>,
}

/// The map that both functions find.
#[must_use]
pub const fn entries<M: MapValue, T>(
    get: fn(&T) -> &M,
    get_mut: fn(&mut T) -> &mut M,
) -> Entries<T, M> {
    Entries {
        get,
        get_mut,
        encode: |name, map, fields| {
            for (key, value) in map.iter() {
                let name = Name::from(format!("{name}:{key}"));
                fields.write(name, |bytes| serde_json::to_writer(bytes, value))?;
            }
            Ok(())
        },
        decode: |map, key, bytes| {
            let entry = key.parse().ok().zip(serde_json::from_slice(bytes).ok());
            entry.map(|(key, value)| map.insert(key, value)).is_some()
        },
        check: check_entries,
    }
}

fn check_entries<M: MapValue>(map: &M, written: Written<'_>) -> Result<(), &'static str> {
    for (key, value) in map.iter() {
        storable::check(value)?;
        let text = key.to_string();
        let Some(bytes) = written(&text) else {
            continue;
        };
        if text.parse().ok().as_ref() != Some(key) {
            return Err(storable::KEY_NOT_READ_BACK);
        }
        let read = serde_json::from_slice::<M::Value>(bytes);
        read.map_err(|_| storable::NOT_READ_BACK)?;
    }
    Ok(())
}

impl<T, M> Codec<T> for Entries<T, M> {
    fn is_entries(&self) -> bool {
        true
    }

    fn encode(
        &self,
        name: &'static str,
        data: &T,
        fields: &mut Unsorted,
    ) -> Result<(), serde_json::Error> {
        (self.encode)(name, (self.get)(data), fields)
    }

    fn decode(&self, data: &mut T, key: &str, bytes: &[u8]) -> bool {
        (self.decode)((self.get_mut)(data), key, bytes)
    }

    fn check(&self, data: &T, written: Written<'_>) -> Result<(), &'static str> {
        (self.check)((self.get)(data), written)
    }

    fn is_same(&self, _: &T, _: &[u8]) -> bool {
        false
    }
}

impl<T, M> fmt::Debug for Entries<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").finish_non_exhaustive()
    }
}
