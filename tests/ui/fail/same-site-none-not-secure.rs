use rocket_typed_session::session;

#[session(same_site = "None")]
struct Visit {}

#[session(same_site = "None", secure = false)]
struct Cart {}

fn main() {}
