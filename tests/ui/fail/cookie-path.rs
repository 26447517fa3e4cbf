use rocket_typed_session::session;

#[session(path = "shop")]
struct Visit {}

#[session(path = "/;HttpOnly")]
struct Cart {}

fn main() {}
