//! One declared field: its name, its merge rule, and the way between its value and its bytes.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::changes::{CounterRange, Rule};

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

/// What a field marked `identity` may hold: an `Option` of whatever names a user.
#[diagnostic::on_unimplemented(
    message = "`identity` needs an `Option` field, but `{Self}` is none",
    label = "`None` must be able to say that nobody is logged in",
    note = "write `Option<{Self}>`, or remove `identity`"
)]
pub trait IdentityValue: FieldValue {}

impl<V> IdentityValue for Option<V> where Self: FieldValue {}

/// A declared field of the session type `T`.
pub struct Field<T: 'static> {
    pub(crate) name: &'static str,
    pub(crate) aliases: &'static [&'static str],
    pub(crate) rule: Rule,
    pub(crate) is_identity: bool,
    pub(crate) codec: &'static dyn Codec<T>,
}

impl<T> Field<T> {
    /// A field stored under `name`, of which the last writer wins.
    #[must_use]
    pub const fn new(name: &'static str, codec: &'static dyn Codec<T>) -> Self {
        Self {
            name,
            aliases: &[],
            rule: Rule::Last,
            is_identity: false,
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
        Self {
            rule: Rule::Counter(V::RANGE),
            ..self
        }
    }

    /// The same field, as the one that says who is logged in.
    #[must_use]
    pub const fn identity<V: IdentityValue>(self) -> Self {
        Self {
            is_identity: true,
            ..self
        }
    }

    /// All names under which the field may be stored, the present one first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

impl<T> fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Field")
            .field("name", &self.name)
            .field("aliases", &self.aliases)
            .field("rule", &self.rule)
            .field("is_identity", &self.is_identity)
            .finish_non_exhaustive()
    }
}

/// The way between one field of `T` and its bytes.
pub trait Codec<T>: Send + Sync {
    /// The field's value, encoded.
    ///
    /// # Errors
    ///
    /// If its `Serialize` fails.
    fn encode(&self, data: &T) -> Result<Vec<u8>, serde_json::Error>;

    /// Sets the field to the value that `bytes` encode.
    ///
    /// # Errors
    ///
    /// If they encode no value of its type; the field is as it was then.
    fn decode(&self, data: &mut T, bytes: &[u8]) -> Result<(), serde_json::Error>;
}

/// Finds a field of type `V` in a `T`, and encodes it: the [`Codec`] of every field.
///
/// The encoding is JSON, so that integers are decimal, as Redis counts, and an operator can read
/// what is stored.
pub struct Accessor<T, V> {
    get: fn(&T) -> &V,
    get_mut: fn(&mut T) -> &mut V,
    encode: fn(&V) -> Result<Vec<u8>, serde_json::Error>,
    decode: fn(&[u8]) -> Result<V, serde_json::Error>,
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
        decode: |bytes| serde_json::from_slice(bytes),
    }
}

impl<T, V> Codec<T> for Accessor<T, V> {
    fn encode(&self, data: &T) -> Result<Vec<u8>, serde_json::Error> {
        (self.encode)((self.get)(data))
    }

    fn decode(&self, data: &mut T, bytes: &[u8]) -> Result<(), serde_json::Error> {
        *(self.get_mut)(data) = (self.decode)(bytes)?;
        Ok(())
    }
}

impl<T, V> fmt::Debug for Accessor<T, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accessor").finish_non_exhaustive()
    }
}
