use rocket_typed_session::session;

#[derive(Default)]
#[session]
struct Visit {
    views: u64,
}

fn main() {}
