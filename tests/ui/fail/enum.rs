use rocket_typed_session::session;

#[session]
enum Visit {
    #[session(counter)]
    Views(#[session(counter)] u64),
}

fn main() {
    let _ = Visit::fairing();
}
