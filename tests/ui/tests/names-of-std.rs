use rocket_typed_session::{SessionData, session};

mod core {}
mod std {}
struct Default;
struct Send;
struct Future;
struct Sync;
#[derive(Debug, serde::Deserialize, serde::Serialize)]
struct Field;
type Result = ();
type Status = ();
type Outcome = ();
type Request = ();

impl ::core::default::Default for Field {
    fn default() -> Self {
        Self
    }
}

#[session(idle = "1h", same_site = "Lax", guard(Debug = debug), guard(Deref = deref, async))]
#[allow(non_snake_case, dead_code)]
struct Option {
    Option: u8,
    Default: ::std::option::Option<u8>,
    core: u8,
    __data: u8,
    SCHEMA: Field,
    #[session(default = ())]
    fairing: Result,
    #[session(once)]
    take: ::std::option::Option<u8>,
    #[session(identity, guard(Clone, within = "5m"))]
    user: ::std::option::Option<u8>,
}

fn debug(option: &Option) -> bool {
    option.core == 0
}

async fn deref(
    option: &Option,
    _: &rocket_typed_session::__private::Request<'_>,
) -> ::std::result::Result<bool, rocket_typed_session::__private::Status> {
    Ok(option.core == 0)
}

#[test]
fn names_of_std_may_be_taken() {
    let _unused: (_, _, _, _, Status, Outcome, Request) = (Default, Future, Send, Sync, (), (), ());
    let _fairing = Option::fairing();
    let fields = format!("{:?}", Option::SCHEMA);
    assert_eq!(fields.matches("Field {").count(), 8);
}
