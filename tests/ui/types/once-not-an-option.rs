use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(once)]
    code: String,
}

fn main() {}
