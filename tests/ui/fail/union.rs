use rocket_typed_session::session;

#[session]
union Visit {
    #[session(counter)]
    views: u64,
}

fn main() {}
