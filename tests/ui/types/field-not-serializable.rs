use rocket_typed_session::session;

struct Theme;

impl Default for Theme {
    fn default() -> Self {
        Self
    }
}

#[session]
struct Visit {
    theme: Theme,
}

fn main() {}
