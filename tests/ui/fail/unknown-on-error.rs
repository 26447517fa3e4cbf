use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(on_error = "drop")]
    views: u64,
}

fn main() {}
