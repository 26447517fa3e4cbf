use rocket_typed_session::session;

#[session(idle, cookie =, same_site)]
struct Visit {
    #[session(default)]
    views: u64,
    #[session(rename)]
    theme: String,
    #[session(ttl, on_unreadable =, migrate, max_size)]
    street: String,
}

fn main() {}
