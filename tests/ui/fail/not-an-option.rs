use rocket_typed_session::session;

#[session("30m", idle = "1h" absolute = "2h", touch = +)]
struct Visit {
    #[session = "counter"]
    views: u64,
    #[session(serde::skip)]
    theme: String,
}

fn main() {}
