use rocket_typed_session::session;

#[derive(serde::Deserialize, serde::Serialize)]
struct UserId(u64);

#[session]
struct Visit {
    #[session(identity)]
    user: Option<UserId>,
}

fn main() {}
