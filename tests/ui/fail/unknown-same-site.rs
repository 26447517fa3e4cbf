use rocket_typed_session::session;

#[session(same_site = "lax")]
struct Visit {
    views: u64,
}

fn main() {}
