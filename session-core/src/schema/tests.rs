use super::*;
use crate::field::codec::accessor;
use crate::plan::Identity;

const NOW: Timestamp = Timestamp::from_millis(1_000_000);

#[derive(Debug, PartialEq)]
struct Visit {
    views: u8,
    user: Option<String>,
    theme: String,
    limit: Option<u32>,
}

const SCHEMA: &Schema<Visit> = &Schema::new(
    "visit",
    Options::new(),
    &[
        Field::new(
            "views",
            "u8",
            &const { accessor::<u8, Visit>(|v| &v.views, |v| &mut v.views) },
        )
        .counter::<u8>(),
        Field::new(
            "user",
            "Option<String>",
            &const { accessor::<Option<String>, Visit>(|v| &v.user, |v| &mut v.user) },
        )
        .identity(),
        Field::new(
            "theme",
            "String",
            &const { accessor::<String, Visit>(|v| &v.theme, |v| &mut v.theme) },
        )
        .aliases(&["colour", "color"]),
        Field::new(
            "limit",
            "Option<u32>",
            &const { accessor::<Option<u32>, Visit>(|v| &v.limit, |v| &mut v.limit) },
        ),
    ],
);

impl Default for Visit {
    fn default() -> Self {
        Self {
            views: 0,
            user: None,
            theme: String::new(),
            limit: Some(10),
        }
    }
}

fn stored(fields: &[(&'static str, &str)]) -> Fields {
    let fields = fields.iter();
    fields
        .map(|(name, value)| (Name::from(*name), value.as_bytes().to_vec()))
        .collect()
}

fn changes(fields: &Fields, change: impl FnOnce(&mut Visit)) -> Changes {
    let mut data = SCHEMA.decode(fields, NOW).data;
    let before = SCHEMA.encode(&data).unwrap();
    change(&mut data);
    let after = SCHEMA.encode(&data).unwrap();
    SCHEMA.changes(fields, &before, &after, NOW).unwrap()
}

fn set(value: &str) -> Option<Change> {
    Some(Change::Set(value.as_bytes().to_vec()))
}

#[test]
fn absent_fields_have_their_default_and_defaults_of_none_are_absent() {
    let Decoded { data, faults } = SCHEMA.decode(&Fields::new(), NOW);
    assert_eq!(data.limit, Some(10));
    assert!(faults.is_empty());
    let encoded = SCHEMA.encode(&data).unwrap();
    assert_eq!(encoded.get("user"), None);
    assert_eq!(encoded.get("limit"), Some(b"10".as_slice()));
}

#[test]
fn none_is_stored_where_the_default_is_something() {
    let changes = changes(&Fields::new(), |visit| visit.limit = None);
    assert_eq!(changes.get("limit").cloned(), set("null"));
    let data = SCHEMA.decode(&stored(&[("limit", "null")]), NOW).data;
    assert_eq!(data.limit, None);
}

#[test]
fn only_what_differs_is_a_change() {
    let fields = stored(&[("views", "3"), ("theme", "\"dark\"")]);
    assert!(changes(&fields, |visit| visit.theme = "dark".into()).is_empty());
    let changes = changes(&fields, |visit| visit.views += 2);
    assert_eq!(changes.iter().count(), 1);
    assert!(matches!(
        changes.get("views"),
        Some(Change::Add {
            delta: 2,
            base: 3,
            ..
        })
    ));
}

#[test]
fn an_old_name_is_read_and_moved_by_the_next_write() {
    // An older build wrote it again after the move.
    let both = stored(&[("color", "\"red\""), ("theme", "\"blue\"")]);
    assert_eq!(SCHEMA.decode(&both, NOW).data.theme, "red");
    let fields = stored(&[("color", "\"red\"")]);
    assert_eq!(SCHEMA.decode(&fields, NOW).data.theme, "red");
    assert!(
        changes(&fields, |visit| visit.user = Some("a".into()))
            .get("color")
            .is_none()
    );
    let changes = changes(&fields, |visit| visit.theme = "blue".into());
    assert_eq!(changes.get("theme").cloned(), set("\"blue\""));
    assert_eq!(changes.get("color"), Some(&Change::Unset));
    assert_eq!(changes.get("colour"), Some(&Change::Unset));
}

#[test]
fn what_cannot_be_read_has_its_default_and_stays_until_it_is_written() {
    let fields = stored(&[("views", "\"many\""), ("theme", "7"), ("limit", "{}")]);
    let Decoded { data, faults } = SCHEMA.decode(&fields, NOW);
    assert_eq!(data, SCHEMA.defaults());
    let faults: Vec<_> = faults.into_iter().map(|(name, _)| name).collect();
    assert_eq!(faults, ["views", "theme", "limit"]);
    assert_eq!(
        changes(&fields, |visit| visit.limit = Some(1))
            .iter()
            .count(),
        1
    );
    // Nothing can be added to a non-number.
    assert_eq!(
        changes(&fields, |visit| visit.views = 1)
            .get("views")
            .cloned(),
        set("1")
    );
}

#[test]
fn what_was_narrowed_is_replaced() {
    let fields = stored(&[("views", "300")]);
    let changes = changes(&fields, |visit| visit.views += 1);
    assert_eq!(changes.get("views").cloned(), set("1"));
}

#[test]
fn nothing_of_one_user_is_left_to_the_next() {
    let fields = stored(&[
        ("views", "9"),
        ("user", "\"alice\""),
        ("theme", "\"dark\""),
        ("limit", "99"),
        ("of_a_newer_build", "1"),
    ]);
    let changes = changes(&fields, |visit| {
        visit.user = Some("bob".into());
        visit.views += 1;
    });
    let begun = SCHEMA.begin(&fields, &changes).unwrap();
    assert_eq!(begun, stored(&[("user", "\"bob\""), ("views", "1")]));
    assert_eq!(SCHEMA.identity_change(&changes), Some(Identity::Other));
}

#[test]
fn a_login_keeps_what_the_visitor_had() {
    let fields = stored(&[("views", "9"), ("theme", "\"dark\"")]);
    let changes = changes(&fields, |visit| visit.user = Some("alice".into()));
    assert_eq!(changes.iter().count(), 1);
    assert_eq!(SCHEMA.identity_change(&changes), Some(Identity::Other));
    assert!(!SCHEMA.is_identified(&fields));
}

#[test]
fn a_logout_by_hand_is_a_change_of_identity() {
    let fields = stored(&[("user", "\"alice\"")]);
    let changes = changes(&fields, |visit| visit.user = None);
    assert_eq!(SCHEMA.identity_change(&changes), Some(Identity::Nobody));
    assert!(SCHEMA.is_identified(&fields));
}
