use rocket_typed_session::{SessionData, session};

#[test]
fn a_session_may_be_declared_in_a_function() {
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
        let _take = Visit::take_challenge;
        Visit::fairing()
    };
    let _fairings = (Visit::fairing(), nested());
    assert_eq!(Visit::SCHEMA.defaults().views, 0);
}
