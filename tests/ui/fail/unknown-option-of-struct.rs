use rocket_typed_session::session;

#[session(shiny)]
struct Visit {
    views: u64,
}

fn main() {}
