use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(on_unreadable = "drop")]
    views: u64,
}

fn main() {}
