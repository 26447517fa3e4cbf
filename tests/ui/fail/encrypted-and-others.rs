use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(encrypted, counter)]
    views: u64,
    #[session(max, encrypted)]
    best: u64,
    #[session(encrypted, min)]
    least: u64,
    #[session(identity, encrypted)]
    user: Option<String>,
    #[session(skip, encrypted)]
    scratch: u64,
    #[session(encrypted = true)]
    token: String,
}

fn main() {}
