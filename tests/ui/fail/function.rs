use rocket_typed_session::session;

#[session]
fn visit() {}

fn main() {}
