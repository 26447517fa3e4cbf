use rocket_typed_session::session;

#[session(idle = 30, name = visit, secure = "yes", path("/"))]
struct Visit {
    #[session(counter = true)]
    views: u64,
    #[session(alias = 'x')]
    theme: String,
}

fn main() {}
