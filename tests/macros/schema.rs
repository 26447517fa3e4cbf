use std::time::Duration;

use rocket_typed_session::store::Timestamp;
use rocket_typed_session::{SessionData, session};
use session_core::fields::Fields;
use session_core::options::SameSite;
use session_core::schema::Identified;
use session_core::store::Wanted;
use session_core::value::IdentityValue;

#[session(
    name = "visits",
    cookie = "__Host-sid",
    idle = "1h 30m",
    absolute = "1day",
    touch = "1500ms",
    same_site = "None",
    secure,
    path = "/",
    persistent = false,
    remember = "90days",
    max_size = "2MB"
)]
#[derive(Clone, Debug, PartialEq)]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(identity)]
    user: Option<String>,
    #[session(default = "light".to_owned(), rename = "look")]
    #[session(alias = "theme", alias = "skin")]
    theme: String,
    #[session(skip)]
    cached: Option<std::time::Instant>,
    r#type: Vec<u8>,
}

#[session(domain = "example.com")]
#[session(persistent)]
struct HTTPVisitor2 {}

fn fields(pairs: &[(&'static str, &str)]) -> Fields {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).into(), value.as_bytes().to_vec()))
        .collect()
}

#[test]
fn declared_options_arrive() {
    let options = Visit::SCHEMA.options();
    assert_eq!(Visit::SCHEMA.name(), "visits");
    assert_eq!(options.cookie, Some("__Host-sid"));
    assert_eq!(options.idle, Some(Duration::from_secs(5400)));
    assert_eq!(options.absolute, Some(Duration::from_secs(86_400)));
    assert_eq!(options.touch, Some(Duration::from_millis(1500)));
    assert_eq!(options.same_site, Some(SameSite::None));
    assert_eq!(options.secure, Some(true));
    assert_eq!(options.path, Some("/"));
    assert_eq!(options.domain, None);
    assert_eq!(options.persistent, Some(false));
    assert_eq!(options.remember, Some(Duration::from_secs(90 * 86_400)));
    assert_eq!(options.max_size, Some(2_000_000));
}

fn stored_names(wanted: Wanted) -> Vec<String> {
    let Wanted::Fields(names) = wanted else {
        panic!("all fields are wanted");
    };
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn undeclared_options_are_left_open() {
    let options = HTTPVisitor2::SCHEMA.options();
    assert_eq!(HTTPVisitor2::SCHEMA.name(), "http_visitor2");
    assert_eq!(options.domain, Some("example.com"));
    assert_eq!(options.cookie, None);
    assert_eq!(options.idle, None);
    assert_eq!(options.secure, None);
    assert_eq!(options.persistent, Some(true));
    assert!(stored_names(HTTPVisitor2::SCHEMA.wanted()).is_empty());
}

#[test]
fn a_new_session_has_the_declared_defaults() {
    assert_eq!(Visit::SCHEMA.defaults(), Visit::default());
    let visit = Visit {
        views: 1,
        ..Visit::default()
    };
    assert_eq!(visit.views, 1);
    assert_eq!(visit.user, None);
    assert_eq!(visit.theme, "light");
    assert_eq!(visit.cached, None);
    assert!(visit.r#type.is_empty());
}

#[test]
fn fields_are_stored_by_name_and_skipped_ones_are_not() {
    let names = ["look", "skin", "theme", "type", "user", "views"];
    assert_eq!(stored_names(Visit::SCHEMA.wanted()), names);
}

#[test]
fn a_session_is_read_back_as_it_was_written() {
    let visit = Visit {
        views: 7,
        user: Some("ada".into()),
        theme: "dark".into(),
        cached: None,
        r#type: vec![1],
    };
    let written = Visit::SCHEMA.encode(&visit).expect("all fields encode");
    let expected = [
        ("look", "\"dark\""),
        ("type", "[1]"),
        ("user", "\"ada\""),
        ("views", "7"),
    ];
    assert_eq!(written, fields(&expected));
    let read = Visit::SCHEMA.decode(&written, Timestamp::default());
    assert_eq!(read.data, visit);
    assert!(read.faults.is_empty());
}

#[test]
fn a_renamed_field_is_read_under_its_old_names() {
    for name in ["look", "theme", "skin"] {
        let stored = fields(&[(name, "\"dark\"")]);
        let read = Visit::SCHEMA.decode(&stored, Timestamp::default());
        assert_eq!(read.data.theme, "dark", "stored as {name}");
        assert!(read.faults.is_empty());
    }
}

#[test]
fn counters_and_the_identity_are_marked() {
    let table = format!("{:?}", Visit::SCHEMA);
    assert_eq!(table.matches("Counter(").count(), 1, "{table}");
    assert_eq!(table.matches("is_identity: true").count(), 1, "{table}");
}

#[test]
fn the_identity_is_found_by_its_trait() {
    fn log_in<T: Identified<Identity = Option<String>>>(data: &mut T, user: &str) {
        *data.identity() = IdentityValue::somebody(user.to_owned());
    }
    let mut visit = Visit::default();
    log_in(&mut visit, "ada");
    assert_eq!(visit.user.as_deref(), Some("ada"));
}

#[test]
fn a_cfg_removes_the_field_from_the_schema_too() {
    #[session]
    struct Configured {
        #[cfg(any())]
        #[session(identity)]
        never: Option<missing::Type>,
        #[cfg(not(any()))]
        always: u8,
        #[cfg(any())]
        either: missing::Type,
        #[cfg(not(any()))]
        #[session(counter, default = 5)]
        either: u8,
    }
    assert_eq!(
        stored_names(Configured::SCHEMA.wanted()),
        ["always", "either"]
    );
    let defaults = Configured::SCHEMA.defaults();
    assert_eq!((defaults.always, defaults.either), (0, 5));
}

#[test]
fn values_may_come_from_a_macro() {
    macro_rules! declare {
        ($name:ident, $idle:literal, $secure:literal, $field:ident: $type:ty = $default:expr, $read:path) => {
            #[session(idle = $idle, secure = $secure)]
            struct $name {
                #[session(default = $default, migrate = $read)]
                $field: $type,
            }
        };
    }
    fn read(stored: &str) -> Option<Vec<u8>> {
        stored.parse().ok().map(|single| vec![single])
    }
    declare!(Generated, "2h", false, size: Vec<u8> = [1u8, 2].to_vec(), read);
    let options = Generated::SCHEMA.options();
    assert_eq!(options.idle, Some(Duration::from_secs(7200)));
    assert_eq!(options.secure, Some(false));
    assert_eq!(Generated::SCHEMA.defaults().size, [1, 2]);
    let read = Generated::SCHEMA.decode(&fields(&[("size", "3")]), Timestamp::default());
    assert_eq!(read.data.size, [3]);
}
