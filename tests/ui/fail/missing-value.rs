use rocket_typed_session::session;

#[session(idle, cookie =, same_site)]
struct Visit {
    #[session(default)]
    views: u64,
    #[session(rename)]
    theme: String,
    #[session(group, ttl, on_error =, migrate)]
    street: String,
}

fn main() {}
