use rocket_typed_session::session;

#[session(name = "my-visit")]
struct Visit {}

#[session(name = "")]
struct Cart {}

#[session]
struct Größe {}

fn main() {}
