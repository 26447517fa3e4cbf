use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(skip)]
    started: std::time::Instant,
}

fn main() {}
