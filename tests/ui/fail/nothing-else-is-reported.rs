use rocket_typed_session::session;

#[session(idel = "30m")]
#[derive(Clone)]
struct Visit {
    #[session(counter)]
    views: u64,
}

fn main() {
    let _ = Visit::fairing();
    let visit = <Visit as rocket_typed_session::SessionData>::SCHEMA.defaults();
    assert_eq!(visit.clone().views, 0);
}
