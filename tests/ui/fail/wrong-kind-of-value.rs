use rocket_typed_session::session;

#[session(idle = 30, name = visit, secure = "yes", path("/"))]
struct Visit {
    #[session(counter = true)]
    views: u64,
    #[session(alias = 'x')]
    theme: String,
    #[session(ttl = 5, on_unreadable = Error)]
    code: u64,
    #[session(rename = address)]
    street: String,
    #[session(migrate = |stored| stored.parse().ok())]
    older: u64,
    #[session(migrate = "read")]
    oldest: u64,
    #[session(max = 10)]
    best: u64,
}

fn main() {}
