use rocket_typed_session::session;

struct Visit;

#[session(parent = Visit)]
struct Admin {
    views: u64,
}

fn main() {}
