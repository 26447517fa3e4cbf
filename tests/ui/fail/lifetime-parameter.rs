use rocket_typed_session::session;

#[session]
struct Visit<'a> {
    theme: &'a str,
}

fn main() {
    let _ = Visit::fairing();
}
