use rocket_typed_session::session;

#[session]
struct Visit(#[session(counter)] u64);

fn main() {
    let _ = Visit::fairing();
}
