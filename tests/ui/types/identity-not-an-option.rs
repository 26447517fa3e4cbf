use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(identity)]
    user: String,
}

fn main() {}
