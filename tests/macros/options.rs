use std::collections::{BTreeMap, HashMap};

use rocket_typed_session::store::Timestamp;
use rocket_typed_session::{SessionData, session};
use session_core::schema::Decoded;

#[session]
struct Visit {
    #[session(max)]
    best: u32,
    #[session(min, default = 9, rename = "low")]
    worst: i8,
    #[session(entries, alias = "basket")]
    cart: BTreeMap<String, u32>,
    #[session(entries)]
    seen: HashMap<u64, Vec<u8>>,
    #[session(once, ttl = "5m", max_size = "1.5KiB", on_unreadable = "error")]
    challenge: Option<String>,
    #[session(keep, default = "here".to_owned())]
    street: String,
    #[session(ttl = "1h 1ms", migrate = city::read)]
    city: Option<City>,
    #[session(identity, on_unreadable = "drop_session")]
    user: Option<Vec<u8>>,
    #[session(counter, ttl = "30s", on_unreadable = "default")]
    tries: u8,
}

#[derive(Debug, PartialEq, serde::Deserialize, serde::Serialize)]
struct City(String);

mod city {
    /// The stored form before this type: a name and a number.
    pub(super) fn read(stored: &str) -> Option<Option<super::City>> {
        let (name, _): (String, u32) = serde_json::from_str(stored).ok()?;
        Some(Some(super::City(name)))
    }
}

fn shown(name: &str) -> String {
    let table = format!("{:?}", Visit::SCHEMA);
    let mut fields = table.split("Field {");
    let start = format!(" name: {name:?},");
    let field = fields.find(|field| field.starts_with(&start));
    field.expect("a field of this name").to_owned()
}

#[track_caller]
fn assert_shows(name: &str, parts: &[&str]) {
    let field = shown(name);
    for part in parts {
        assert!(field.contains(part), "no `{part}` in: {field}");
    }
}

#[test]
fn what_is_declared_arrives() {
    assert_shows("best", &["rule: Extreme(Max)", "ttl: None"]);
    assert_shows("low", &["rule: Extreme(Min)"]);
    assert_shows(
        "challenge",
        &["is_once: true", "ttl: Some(300s)", "keep: false"],
    );
    assert_shows(
        "challenge",
        &["on_unreadable: Error", "rule: Last", "max_size: 1536"],
    );
    assert_shows(
        "street",
        &["is_once: false", "keep: true", "max_size: 65536"],
    );
    assert_shows("city", &["ttl: Some(3600.001s)"]);
    assert_shows("user", &["is_identity: true", "on_unreadable: DropSession"]);
    assert_shows(
        "tries",
        &["rule: Counter", "ttl: Some(30s)", "on_unreadable: Default"],
    );
}

#[test]
fn types_are_named_as_they_are_written() {
    assert_shows("best", &["type_name: \"u32\""]);
    assert_shows("cart", &["type_name: \"BTreeMap<String, u32>\""]);
    assert_shows("seen", &["type_name: \"HashMap<u64, Vec<u8>>\""]);
    assert_shows("challenge", &["type_name: \"Option<String>\""]);
}

#[test]
fn maps_of_entries_are_read_back() {
    let mut visit = Visit::SCHEMA.defaults();
    visit.cart.insert("apple".into(), 3);
    visit.seen.insert(7, vec![1, 2]);
    let written = Visit::SCHEMA.encode(&visit).expect("all fields encode");
    let Decoded {
        data: read, faults, ..
    } = Visit::SCHEMA.decode(&written, Timestamp::default());
    assert!(faults.is_empty());
    assert_eq!((read.cart, read.seen), (visit.cart, visit.seen));
    assert_eq!((read.best, read.worst, read.tries), (0, 9, 0));
    assert_eq!((read.street.as_str(), read.user), ("here", None));
}

#[test]
fn an_older_form_is_migrated() {
    for stored in ["\"Ulm\"", "[\"Ulm\",89073]"] {
        let fields = [("city".into(), stored.as_bytes().to_vec())];
        let read = Visit::SCHEMA.decode(&fields.into_iter().collect(), Timestamp::default());
        assert_eq!(
            read.data.city,
            Some(City("Ulm".into())),
            "stored as {stored}"
        );
        assert!(read.faults.is_empty());
    }
}
