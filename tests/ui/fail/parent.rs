use rocket_typed_session::session;

#[session(parent = Admin)]
struct Admin {
    views: u64,
}

#[session(parent)]
struct Unsaid {
    views: u64,
}

#[session(parent = "Visit")]
struct Quoted {
    views: u64,
}

#[session(parent = self::Visit, parent = Visit)]
struct Twice {
    views: u64,
}

#[session]
struct Visit {
    #[session(parent = Admin)]
    views: u64,
}

fn main() {}
