use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(group = "")]
    street: String,
    #[session(group = "address")]
    city: String,
}

fn main() {}
