use rocket_typed_session::session;

#[derive(PartialEq, serde::Deserialize, serde::Serialize)]
struct UserId(u64);

#[session]
pub struct Visit {
    #[session(identity)]
    user: Option<UserId>,
}

fn main() {}
