use rocket_typed_session::session;

#[session(domain = "https://example.com")]
struct Visit {}

#[session(domain = "example.com:8000")]
struct Cart {}

#[session(domain = "")]
struct Basket {}

fn main() {}
