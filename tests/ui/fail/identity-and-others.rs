use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(identity, default = Some(1))]
    user: Option<u32>,
}

#[session]
struct Cart {
    #[session(counter, identity)]
    user: Option<u32>,
}

fn main() {}
