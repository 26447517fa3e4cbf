use rocket_typed_session::{Session, SessionData, session};

fn main() {
    #[session(idle = "10m")]
    struct Visit {
        views: u64,
    }
    let nested = || {
        #[session]
        struct Visit {
            #[session(once)]
            challenge: Option<u64>,
        }
        let _take = <Session<Visit> as VisitOnce>::take_challenge;
        Visit::fairing()
    };
    let _fairings = (Visit::fairing(), nested());
    assert_eq!(Visit::SCHEMA.defaults().views, 0);
}
