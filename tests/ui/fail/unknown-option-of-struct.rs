use rocket_typed_session::session;

#[session(shiny)]
struct Visit {
    views: u64,
}

// The words of other libraries.
#[session(secret = "keyboard cat", maxAge = 60_000, rolling, httpOnly)]
struct Cart {
    items: u64,
}

fn main() {}
