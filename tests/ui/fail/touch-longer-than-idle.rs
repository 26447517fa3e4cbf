use rocket_typed_session::session;

#[session(touch = "2h", idle = "1h")]
struct Visit {}

#[session(touch = "1h")]
struct LongerThanTheDefault {}

fn main() {}
