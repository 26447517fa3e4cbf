use rocket_typed_session::session;

#[session(idel = "30m", absolute = "12", same_site = "None")]
struct Visit {
    #[session(counter, skip)]
    views: u64,
    #[session(identity)]
    user: Option<&str>,
    #[session(identity, rename = "user")]
    admin: Option<String>,
}

fn main() {}
