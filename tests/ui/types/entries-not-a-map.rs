use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(entries)]
    cart: Vec<String>,
}

fn main() {}
