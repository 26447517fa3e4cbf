#![deny(warnings)]

use rocket_typed_session::{SessionData, session};

#[session]
#[allow(non_camel_case_types)]
struct r#struct {
    #[session(counter)]
    r#type: u64,
    #[session(identity, alias = "who")]
    r#fn: Option<String>,
    #[session(once)]
    r#mod: Option<u8>,
}

#[test]
fn raw_identifiers_are_stored_without_their_prefix() {
    assert_eq!(r#struct::SCHEMA.name(), "struct");
    let names = format!("{:?}", r#struct::SCHEMA.wanted());
    assert_eq!(names, r#"Fields(["fn", "mod", "type", "who"])"#);
    let _take = r#struct::take_mod;
    let _fairing = r#struct::fairing();
}
