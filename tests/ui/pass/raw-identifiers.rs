use rocket_typed_session::{SessionData, session};

#[session]
#[allow(non_camel_case_types)]
struct r#struct {
    #[session(counter)]
    r#type: u64,
    #[session(identity, alias = "who")]
    r#fn: Option<String>,
}

fn main() {
    assert_eq!(r#struct::SCHEMA.name(), "struct");
    assert_eq!(r#struct::SCHEMA.stored_names(), ["fn", "type", "who"]);
    let _fairing = r#struct::fairing();
}
