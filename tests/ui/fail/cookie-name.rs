use rocket_typed_session::session;

#[session(cookie = "my id")]
struct Visit {}

#[session(cookie = "")]
struct Cart {}

#[session(cookie = "id|v2")]
struct Basket {}

fn main() {}
