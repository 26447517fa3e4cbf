use rocket_typed_session::session;

#[session(cookie = "__Host-id", path = "/shop")]
struct Visit {}

#[session(cookie = "__host-id", domain = "example.com")]
struct Cart {}

fn main() {}
