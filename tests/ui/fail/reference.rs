use rocket_typed_session::session;

#[session]
struct Visit {
    theme: &str,
    #[session(identity)]
    user: Option<&'static str>,
    #[session(skip)]
    cached: &'static str,
}

fn main() {}
