use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(skip)]
    cached: Option<std::rc::Rc<str>>,
}

fn main() {}
