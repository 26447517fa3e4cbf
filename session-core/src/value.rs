//! What each kind of field may hold.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::hash::{BuildHasher, Hash};
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::merge::CounterRange;

/// Anything that serde can write and read back.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a session field: it must implement serde's `Serialize` and `DeserializeOwned`",
    label = "neither written to a store nor read back",
    note = "derive `serde::Serialize` and `serde::Deserialize`, or mark the field `#[session(skip)]`"
)]
pub trait FieldValue: Serialize + DeserializeOwned {}

impl<V: Serialize + DeserializeOwned> FieldValue for V {}

/// What a field may hold if it starts as its type's default.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no default",
    label = "a new session has no value for this field",
    note = "derive `Default`, or write `#[session(default = …)]`"
)]
pub trait DefaultValue: Default {}

impl<V: Default> DefaultValue for V {}

/// What a field marked `counter` may hold.
#[diagnostic::on_unimplemented(
    message = "`counter` requires an integer; `{Self}` is not one",
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
    message = "`max` and `min` require an integer; `{Self}` is not one",
    label = "not an integer of at most 64 bits",
    note = "use `u64` or another integer of at most 64 bits, or remove `max` or `min`"
)]
pub trait OrderedValue: FieldValue {}

impl<V: CounterValue> OrderedValue for V {}

/// What a field marked `once` may hold.
#[diagnostic::on_unimplemented(
    message = "`once` requires an `Option`; `{Self}` is not one",
    label = "`None` says that another request has taken it",
    note = "write `Option<{Self}>`, or remove `once`"
)]
pub trait OnceValue: FieldValue {}

impl<V> OnceValue for Option<V> where Self: FieldValue {}

/// What a field marked `entries` may hold.
#[diagnostic::on_unimplemented(
    message = "`entries` requires a map; `{Self}` is not one",
    label = "neither a `BTreeMap` nor a `HashMap`",
    note = "use `BTreeMap<String, V>`, or remove `entries`"
)]
pub trait MapValue {
    /// The keys.
    type Key: EntryKey;
    /// The values.
    type Value: FieldValue;

    /// All entries.
    fn iter(&self) -> impl Iterator<Item = (&Self::Key, &Self::Value)>;

    /// Adds or replaces an entry.
    fn insert(&mut self, key: Self::Key, value: Self::Value);
}

/// A key of a field marked `entries`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key of `entries`: it must implement `Display` and `FromStr`",
    label = "the key `{Self}` is neither written as text nor read back",
    note = "use `String` or an integer as the key, or implement `Display` and `FromStr` for `{Self}`"
)]
pub trait EntryKey: Display + FromStr + Eq {}

#[diagnostic::do_not_recommend]
impl<K: Display + FromStr + Eq> EntryKey for K {}

impl<K, V> MapValue for BTreeMap<K, V>
where
    K: EntryKey + Ord,
    V: FieldValue,
{
    type Key = K;
    type Value = V;

    fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.iter()
    }

    fn insert(&mut self, key: K, value: V) {
        self.insert(key, value);
    }
}

impl<K, V, S> MapValue for HashMap<K, V, S>
where
    K: EntryKey + Hash,
    V: FieldValue,
    S: BuildHasher + Default,
{
    type Key = K;
    type Value = V;

    fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.iter()
    }

    fn insert(&mut self, key: K, value: V) {
        self.insert(key, value);
    }
}

/// What a field marked `identity` may hold.
#[diagnostic::on_unimplemented(
    message = "`identity` requires an `Option`; `{Self}` is not one",
    label = "`None` says that nobody is logged in",
    note = "write `Option<{Self}>`, or remove `identity`"
)]
pub trait IdentityValue {
    /// The type that names a user.
    type User;

    /// The value while this user is logged in.
    fn somebody(user: Self::User) -> Self;
}

impl<V> IdentityValue for Option<V> {
    type User = V;

    fn somebody(user: V) -> Self {
        Some(user)
    }
}
