use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::*;
use crate::field::Field;
use crate::field::codec::{accessor, entries};
use crate::value::{FieldValue, MapValue};

struct Holds<V>(V);

fn stored<V: FieldValue + 'static>(value: V) -> Result<(), String> {
    let accessor = accessor::<V, Holds<V>>(|data| &data.0, |data| &mut data.0);
    let field = Field::new("field", "V", Box::leak(Box::new(accessor)));
    checked(&field, &Holds(value))
}

fn stored_entries<M: MapValue + 'static>(map: M) -> Result<(), String> {
    let entries = entries::<M, Holds<M>>(|data| &data.0, |data| &mut data.0);
    let field = Field::new("field", "M", Box::leak(Box::new(entries)));
    checked(&field, &Holds(map))
}

fn checked<T>(field: &Field<T>, data: &T) -> Result<(), String> {
    let told = |error: crate::error::Error| {
        assert!(error.is_encode());
        let message = error.to_string();
        assert!(message.starts_with("field `field` cannot be stored: "));
        message
    };
    let written = field.encoded(data).unwrap();
    let changed = field.check_storable(data, |name| written.get(name));
    let changed = changed.map_err(told);
    let unchanged = field.check_storable(data, |_| None).map_err(told);
    let is_seen =
        |message: &String| message.ends_with(NOT_FINITE) || message.ends_with(NULL_IN_SOME);
    assert_eq!(unchanged.err(), changed.clone().err().filter(is_seen));
    changed
}

#[track_caller]
fn refused(reason: &str, stored: Result<(), String>) {
    let message = stored.unwrap_err();
    assert!(message.ends_with(reason), "{message}");
}

#[derive(Deserialize, Serialize)]
struct Point {
    x: f64,
    label: Option<String>,
}

#[derive(Deserialize, Serialize)]
struct Newtype<T>(T);

#[derive(Deserialize, Serialize)]
struct Unit;

#[derive(Deserialize, Serialize)]
enum Shape {
    Nothing,
    Circle(f32),
    Pair(f32, f32),
    Square { side: f32 },
}

#[derive(Deserialize, Serialize)]
#[serde(tag = "kind")]
enum Tagged {
    Square { side: f32 },
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Untagged {
    Nothing,
    Number(f32),
}

#[test]
fn whatever_is_read_back_is_stored() {
    let point = || Point {
        x: -0.5,
        label: None,
    };
    assert_eq!(stored(point()), Ok(()));
    assert_eq!(stored(Some(vec![point()])), Ok(()));
    assert_eq!(stored((f64::MAX, f32::MIN_POSITIVE)), Ok(()));
    assert_eq!(stored((u64::MAX, i64::MIN, 'c', Unit)), Ok(()));
    assert_eq!(stored(()), Ok(()));
    assert_eq!(stored(None::<()>), Ok(()));
    assert_eq!(stored(None::<Option<u8>>), Ok(()));
    assert_eq!(stored(Some(Some(7))), Ok(()));
    assert_eq!(stored(Newtype(None::<u8>)), Ok(()));
    assert_eq!(stored(vec![None, Some(1)]), Ok(()));
    assert_eq!(
        stored(HashMap::from([(7, None), (8, Some(()).map(|()| 1))])),
        Ok(())
    );
    assert_eq!(stored(vec![Shape::Nothing, Shape::Circle(1.0)]), Ok(()));
    assert_eq!(
        stored(vec![Shape::Pair(1.0, 2.0), Shape::Square { side: 1.0 }]),
        Ok(())
    );
    assert_eq!(stored(Tagged::Square { side: 1.0 }), Ok(()));
    assert_eq!(stored(Some(Untagged::Number(1.0))), Ok(()));
    assert_eq!(stored(serde_json::json!({"a": [null, 1.5]})), Ok(()));
    assert_eq!(
        stored_entries(BTreeMap::from([("a".to_owned(), 1.0)])),
        Ok(())
    );
    assert_eq!(
        stored_entries(HashMap::from([(1.5.to_string(), None::<u8>)])),
        Ok(())
    );
}

#[test]
fn no_number_that_json_does_not_know() {
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refused(NOT_FINITE, stored(number));
        refused(NOT_FINITE, stored(Some(number)));
        refused(NOT_FINITE, stored(vec![0.0, number]));
        refused(NOT_FINITE, stored((0, number)));
        refused(NOT_FINITE, stored(Newtype(number)));
        refused(
            NOT_FINITE,
            stored(Some(Point {
                x: number,
                label: None,
            })),
        );
        refused(NOT_FINITE, stored(BTreeMap::from([(1, number)])));
        refused(NOT_FINITE, stored_entries(BTreeMap::from([(1, number)])));
        refused(
            NOT_FINITE,
            stored_entries(HashMap::from([(1, Some(number))])),
        );
    }
    for number in [f32::NAN, f32::INFINITY] {
        refused(NOT_FINITE, stored(Some(number)));
        refused(NOT_FINITE, stored(Shape::Circle(number)));
        refused(NOT_FINITE, stored(Shape::Pair(0.0, number)));
        refused(NOT_FINITE, stored(Shape::Square { side: number }));
        refused(NOT_FINITE, stored(Tagged::Square { side: number }));
        refused(NOT_FINITE, stored(Some(Untagged::Number(number))));
    }
}

#[test]
fn no_some_that_is_read_back_as_none() {
    refused(NULL_IN_SOME, stored(Some(None::<u8>)));
    refused(NULL_IN_SOME, stored(Some(Some(None::<u8>))));
    refused(NULL_IN_SOME, stored(Some(())));
    refused(NULL_IN_SOME, stored(Some(Unit)));
    refused(NULL_IN_SOME, stored(Some(Newtype(None::<u8>))));
    refused(NULL_IN_SOME, stored(Some(Newtype(Newtype(())))));
    refused(NULL_IN_SOME, stored(Some(Untagged::Nothing)));
    refused(NULL_IN_SOME, stored(Some(serde_json::Value::Null)));
    refused(NULL_IN_SOME, stored(vec![Some(None::<u8>)]));
    refused(NULL_IN_SOME, stored(Some(Box::new(None::<u8>))));
    refused(
        NULL_IN_SOME,
        stored_entries(BTreeMap::from([(1, Some(()))])),
    );
}

#[test]
fn nothing_that_is_nested_too_deeply() {
    let mut value = serde_json::json!(1);
    for _ in 0..200 {
        value = serde_json::Value::Array(vec![value]);
    }
    refused(NOT_READ_BACK, stored(value.clone()));
    refused(NOT_READ_BACK, stored_entries(BTreeMap::from([(1, value)])));
}

/// Serializes as a number, deserializes from a text.
#[derive(Serialize)]
struct OneWay(u8);

impl<'de> Deserialize<'de> for OneWay {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        Ok(Self(
            String::deserialize(value)?.len().try_into().unwrap_or(0),
        ))
    }
}

#[test]
fn nothing_that_its_own_type_refuses() {
    refused(NOT_READ_BACK, stored(OneWay(1)));
    refused(
        NOT_READ_BACK,
        stored_entries(BTreeMap::from([(1, OneWay(1))])),
    );
    let by_its_migration = accessor::<OneWay, Holds<OneWay>>(|data| &data.0, |data| &mut data.0)
        .migrate(|stored| stored.parse().ok().map(OneWay));
    let field = Field::new("field", "OneWay", Box::leak(Box::new(by_its_migration)));
    assert_eq!(checked(&field, &Holds(OneWay(1))), Ok(()));
}

/// Keys that differ only in case are written alike.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Folded(String);

impl Display for Folded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_lowercase())
    }
}

impl FromStr for Folded {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

#[test]
fn no_key_that_is_read_back_as_another() {
    let map = |key: &str| BTreeMap::from([(Folded(key.to_owned()), 1)]);
    assert_eq!(stored_entries(map("a")), Ok(()));
    refused(KEY_NOT_READ_BACK, stored_entries(map("A")));
}
