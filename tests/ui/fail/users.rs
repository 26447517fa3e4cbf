use rocket_typed_session::session;

#[session(devices, max_sessions = 5, when_full = "refuse", indexed = false)]
struct Anonymous {
    views: u64,
}

#[session(max_sessions = 0, when_full = "never")]
struct Nobody {
    #[session(identity)]
    user: Option<u64>,
}

#[session(when_full = "refuse", devices, indexed = false)]
struct Unlimited {
    #[session(identity)]
    user: Option<u64>,
}

#[session(max_sessions = "five")]
struct Five {
    #[session(identity)]
    user: Option<u64>,
}

fn main() {}
