use rocket_typed_session::session;

#[session(idle = "2h", absolute = "1h")]
struct Visit {}

#[session(idle = "2days")]
struct LongerThanTheDefault {}

#[session(absolute = "10m")]
struct ShorterThanTheDefault {}

fn main() {}
