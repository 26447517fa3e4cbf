use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(migrate = String::from)]
    theme: String,
    #[session(migrate = read)]
    views: u64,
}

fn read(stored: String) -> Option<u64> {
    stored.parse().ok()
}

fn main() {}
