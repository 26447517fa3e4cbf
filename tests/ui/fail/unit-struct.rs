use rocket_typed_session::session;

#[session]
struct Visit;

fn main() {
    let _ = Visit::fairing();
}
