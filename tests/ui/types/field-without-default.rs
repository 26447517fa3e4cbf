use rocket_typed_session::session;

#[session]
struct Visit {
    started: std::time::SystemTime,
}

fn main() {}
