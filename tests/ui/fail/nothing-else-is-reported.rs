use rocket_typed_session::{Session, session};

#[session(idel = "30m")]
#[derive(Clone)]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(identity)]
    user: Option<String>,
    #[session(once, max)]
    code: Option<&str>,
}

async fn handler(mut visit: Session<Visit>) -> bool {
    Visit::take_code(&mut visit)
        .await
        .is_ok_and(|code| code.is_some())
}

fn is_identified<T: rocket_typed_session::__private::Identified>() {}

fn main() {
    let _ = handler;
    let _ = (Visit::fairing(), Visit::csrf());
    let _ = Visit {
        views: 1,
        ..Visit::default()
    };
    let _ = is_identified::<Visit>;
    let visit = <Visit as rocket_typed_session::SessionData>::SCHEMA.defaults();
    assert_eq!(visit.clone().views, 0);
}
