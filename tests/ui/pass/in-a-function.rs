use rocket_typed_session::{SessionData, session};

fn main() {
    #[session(idle = "10m")]
    struct Visit {
        views: u64,
    }
    let nested = || {
        #[session]
        struct Visit {}
        Visit::fairing()
    };
    let _fairings = (Visit::fairing(), nested());
    assert_eq!(Visit::SCHEMA.defaults().views, 0);
}
