use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(max)]
    best: f64,
    #[session(min)]
    worst: Option<u64>,
}

fn main() {}
