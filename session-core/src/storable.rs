//! Whether a value survives the round trip through JSON.

use std::fmt::{self, Display};

use serde::Serialize;
use serde::ser::{self, Serializer};

pub(crate) const NOT_FINITE: &str =
    "it holds an infinite number or `NaN`, which JSON cannot write; store an `Option` instead";
pub(crate) const NULL_IN_SOME: &str = "it holds a `Some` whose value JSON writes as `null`, which is read back as `None`; \
     use an enum instead";
pub(crate) const NOT_READ_BACK: &str =
    "its `Deserialize` refuses what its `Serialize` wrote, or it is nested too deeply";
pub(crate) const KEY_NOT_READ_BACK: &str =
    "a key's `FromStr` does not read back what its `Display` wrote";

/// Finds values that JSON writes as `null` although they are not `None`. Reading back finds the rest.
pub(crate) fn check(value: &impl Serialize) -> Result<(), &'static str> {
    match value.serialize(Check) {
        Ok(_) => Ok(()),
        Err(Unstorable(reason)) => Err(reason),
    }
}

/// Returns whether the value would be `null`.
struct Check;

#[derive(Debug)]
struct Unstorable(&'static str);

impl Display for Unstorable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Unstorable {}

impl ser::Error for Unstorable {
    fn custom<T: Display>(_: T) -> Self {
        Self("its `Serialize` fails")
    }
}

type Checked = Result<bool, Unstorable>;

macro_rules! never_null {
    ($($method:ident($($type:ty),*)),* $(,)?) => {
        $(fn $method(self, $(_: $type),*) -> Checked {
            Ok(false)
        })*
    };
}

impl Serializer for Check {
    type Ok = bool;
    type Error = Unstorable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    never_null! {
        serialize_bool(bool),
        serialize_i8(i8),
        serialize_i16(i16),
        serialize_i32(i32),
        serialize_i64(i64),
        serialize_i128(i128),
        serialize_u8(u8),
        serialize_u16(u16),
        serialize_u32(u32),
        serialize_u64(u64),
        serialize_u128(u128),
        serialize_char(char),
        serialize_str(&str),
        serialize_bytes(&[u8]),
        serialize_unit_variant(&'static str, u32, &'static str),
    }

    fn serialize_f32(self, value: f32) -> Checked {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Checked {
        if value.is_finite() {
            Ok(false)
        } else {
            Err(Unstorable(NOT_FINITE))
        }
    }

    fn serialize_none(self) -> Checked {
        Ok(true)
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Checked {
        if value.serialize(self)? {
            return Err(Unstorable(NULL_IN_SOME));
        }
        Ok(false)
    }

    fn serialize_unit(self) -> Checked {
        Ok(true)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Checked {
        Ok(true)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Checked {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Checked {
        value.serialize(self).map(|_| false)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Unstorable> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unstorable> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unstorable> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unstorable> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Unstorable> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unstorable> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unstorable> {
        Ok(self)
    }

    fn collect_str<T: ?Sized + Display>(self, _: &T) -> Checked {
        Ok(false)
    }
}

/// A value with parts is never `null`.
macro_rules! parts {
    ($($trait:ident::$method:ident($($key:ty)?)),* $(,)?) => {$(
        impl ser::$trait for Check {
            type Ok = bool;
            type Error = Unstorable;

            fn $method<T: ?Sized + Serialize>(
                &mut self,
                $(_: $key,)?
                value: &T,
            ) -> Result<(), Unstorable> {
                value.serialize(Self).map(drop)
            }

            fn end(self) -> Checked {
                Ok(false)
            }
        }
    )*};
}

parts! {
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(&'static str),
    SerializeStructVariant::serialize_field(&'static str),
}

impl ser::SerializeMap for Check {
    type Ok = bool;
    type Error = Unstorable;

    /// JSON has its own rules for keys, which its encoder checks.
    fn serialize_key<T: ?Sized + Serialize>(&mut self, _: &T) -> Result<(), Unstorable> {
        Ok(())
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Unstorable> {
        value.serialize(Self).map(drop)
    }

    fn end(self) -> Checked {
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
