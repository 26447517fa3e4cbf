use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(skip, counter)]
    views: u64,
    #[session(skip, identity)]
    user: Option<String>,
    #[session(skip, rename = "look")]
    theme: String,
    #[session(alias = "colour", skip)]
    color: String,
}

fn main() {}
