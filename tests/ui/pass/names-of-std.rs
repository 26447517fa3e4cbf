use rocket_typed_session::{SessionData, session};

mod core {}
mod std {}
struct Default;
struct Send;
struct Sync;
#[derive(Debug, serde::Deserialize, serde::Serialize)]
struct Field;
type Result = ();

impl ::core::default::Default for Field {
    fn default() -> Self {
        Self
    }
}

#[session(idle = "1h", same_site = "Lax")]
#[allow(non_snake_case, dead_code)]
struct Option {
    Option: u8,
    Default: ::std::option::Option<u8>,
    core: u8,
    __data: u8,
    SCHEMA: Field,
    #[session(default = ())]
    fairing: Result,
}

fn main() {
    let _unused = (Default, Send, Sync);
    let _fairing = Option::fairing();
    assert_eq!(Option::SCHEMA.stored_names().len(), 6);
}
