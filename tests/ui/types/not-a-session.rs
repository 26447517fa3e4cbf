use rocket_typed_session::SessionData;

struct Visit;

fn needs_a_session<T: SessionData>() {}

fn main() {
    needs_a_session::<Visit>();
}
