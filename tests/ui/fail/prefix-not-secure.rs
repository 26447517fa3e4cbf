use rocket_typed_session::session;

#[session(cookie = "__Host-id", secure = false)]
struct Visit {}

#[session(cookie = "__Secure-id", secure = false)]
struct Cart {}

fn main() {}
