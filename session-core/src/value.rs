//! What fields of a session may hold, by what they are declared as.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::hash::{BuildHasher, Hash};
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::rule::CounterRange;

/// What a session's field may hold: whatever serde can write and read back.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a session field: it must implement serde's `Serialize` and `DeserializeOwned`",
    label = "neither written to a store nor read back",
    note = "derive `serde::Serialize` and `serde::Deserialize`, or mark the field `#[session(skip)]`"
)]
pub trait FieldValue: Serialize + DeserializeOwned {}

impl<V: Serialize + DeserializeOwned> FieldValue for V {}

/// What a field marked `counter` may hold.
#[diagnostic::on_unimplemented(
    message = "`counter` needs an integer field, but `{Self}` is none",
    label = "not an integer of at most 64 bits",
    note = "use `u64` or another integer of at most 64 bits, or remove `counter`"
)]
pub trait CounterValue: FieldValue {
    /// The values that the type can hold and a store can count.
    const RANGE: CounterRange;
}

macro_rules! counter_values {
    ($($integer:ty: $max:expr),* $(,)?) => {$(
        impl CounterValue for $integer {
            #[allow(clippy::cast_lossless, reason = "`From` is not const")]
            const RANGE: CounterRange = CounterRange::new(<$integer>::MIN as i64, $max);
        }
    )*};
}

counter_values! {
    i8: i8::MAX as i64,
    i16: i16::MAX as i64,
    i32: i32::MAX as i64,
    i64: i64::MAX,
    isize: isize::MAX as i64,
    u8: u8::MAX as i64,
    u16: u16::MAX as i64,
    u32: u32::MAX as i64,
    // Redis counts in 64 bits with a sign.
    u64: i64::MAX,
    usize: isize::MAX as i64,
}

/// What a field marked `max` or `min` may hold.
#[diagnostic::on_unimplemented(
    message = "`max` and `min` need an integer field, but `{Self}` is none",
    label = "not an integer of at most 64 bits",
    note = "use `u64` or another integer of at most 64 bits, or remove `max` or `min`"
)]
pub trait OrderedValue: FieldValue {}

impl<V: CounterValue> OrderedValue for V {}

/// What a field marked `once` may hold: an `Option` of what one request obtains.
#[diagnostic::on_unimplemented(
    message = "`once` needs an `Option` field, but `{Self}` is none",
    label = "`None` must be able to say that another request has obtained it",
    note = "write `Option<{Self}>`, or remove `once`"
)]
pub trait OnceValue: FieldValue {}

impl<V> OnceValue for Option<V> where Self: FieldValue {}

/// What a field marked `entries` may hold: a map of which each entry is stored on its own.
///
/// A key is written by its `Display` and read by its `FromStr`.
#[diagnostic::on_unimplemented(
    message = "`entries` needs a map field, but `{Self}` is none",
    label = "not a `BTreeMap` or `HashMap` with keys that are written and read as text",
    note = "use `BTreeMap<String, V>`, or another key with `Display` and `FromStr`, \
            or remove `entries`"
)]
pub trait MapValue: Default {
    /// Hands each entry to `put`: its key as text, its value encoded.
    ///
    /// # Errors
    ///
    /// If the `Serialize` of a value fails.
    fn encode(&self, put: &mut dyn FnMut(String, Vec<u8>)) -> Result<(), serde_json::Error>;

    /// Adds an entry; `false` where its key or its value cannot be read.
    fn decode(&mut self, key: &str, value: &[u8]) -> bool;
}

impl<K, V> MapValue for BTreeMap<K, V>
where
    K: Display + FromStr + Ord,
    V: FieldValue,
{
    fn encode(&self, put: &mut dyn FnMut(String, Vec<u8>)) -> Result<(), serde_json::Error> {
        encode_entries(self, put)
    }

    fn decode(&mut self, key: &str, value: &[u8]) -> bool {
        let entry = decode_entry(key, value);
        entry.map(|(key, value)| self.insert(key, value)).is_some()
    }
}

impl<K, V, S> MapValue for HashMap<K, V, S>
where
    K: Display + Eq + FromStr + Hash,
    V: FieldValue,
    S: BuildHasher + Default,
{
    fn encode(&self, put: &mut dyn FnMut(String, Vec<u8>)) -> Result<(), serde_json::Error> {
        encode_entries(self, put)
    }

    fn decode(&mut self, key: &str, value: &[u8]) -> bool {
        let entry = decode_entry(key, value);
        entry.map(|(key, value)| self.insert(key, value)).is_some()
    }
}

fn encode_entries<'m, K: Display + 'm, V: Serialize + 'm>(
    entries: impl IntoIterator<Item = (&'m K, &'m V)>,
    put: &mut dyn FnMut(String, Vec<u8>),
) -> Result<(), serde_json::Error> {
    for (key, value) in entries {
        put(key.to_string(), serde_json::to_vec(value)?);
    }
    Ok(())
}

fn decode_entry<K: FromStr, V: DeserializeOwned>(key: &str, value: &[u8]) -> Option<(K, V)> {
    Some((key.parse().ok()?, serde_json::from_slice(value).ok()?))
}

/// What a field marked `identity` may hold: an `Option` of whatever names a user.
#[diagnostic::on_unimplemented(
    message = "`identity` needs an `Option` field, but `{Self}` is none",
    label = "`None` must be able to say that nobody is logged in",
    note = "write `Option<{Self}>`, or remove `identity`"
)]
pub trait IdentityValue: FieldValue {}

impl<V> IdentityValue for Option<V> where Self: FieldValue {}
