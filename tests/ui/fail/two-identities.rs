use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(identity)]
    user: Option<String>,
    #[session(identity)]
    admin: Option<String>,
}

fn main() {}
