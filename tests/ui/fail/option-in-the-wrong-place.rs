use rocket_typed_session::session;

#[session(counter, identity = "views", ttl = "5m")]
struct Visit {
    #[session(idle = "30m")]
    views: u64,
}

fn main() {}
