use rocket_typed_session::session;

#[session(idle = "30m", idle = "1h", secure, secure = false)]
struct Visit {
    #[session(counter)]
    #[session(counter)]
    views: u64,
}

fn main() {}
