use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(once, default = Some(7))]
    code: Option<u64>,
    #[session(once, keep)]
    notice: Option<u64>,
}

fn main() {}
