use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(default = "light")]
    theme: String,
}

fn main() {}
