use rocket_typed_session::session;

#[derive(PartialEq)]
struct User;

#[session]
struct Visit {
    #[session(identity)]
    user: Option<User>,
}

fn main() {}
