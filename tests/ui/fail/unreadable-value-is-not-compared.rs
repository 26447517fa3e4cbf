use rocket_typed_session::session;

#[session(idle = "2 hous", touch = "1h", same_site = "None", secure = "yes")]
struct Visit {
    #[session(skip = true, rename = 5)]
    cached: &'static str,
}

fn main() {}
