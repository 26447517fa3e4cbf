use rocket_typed_session::{Session, session};

#[session(idel = "30m")]
#[derive(Clone)]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(once, max)]
    code: Option<&str>,
}

async fn handler(mut visit: Session<Visit>) -> bool {
    visit.take_code().await.is_ok_and(|code| code.is_some())
}

fn main() {
    let _ = handler;
    let _ = Visit::fairing();
    let visit = <Visit as rocket_typed_session::SessionData>::SCHEMA.defaults();
    assert_eq!(visit.clone().views, 0);
}
