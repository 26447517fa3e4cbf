use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(counter)]
    views: String,
}

fn main() {}
