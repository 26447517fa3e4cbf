use rocket_typed_session::session;

#[session]
#[derive(Clone, Default, std::fmt::Debug)]
struct Visit {
    views: u64,
}

#[session]
#[derive(std::default::Default)]
struct Cart {
    items: u64,
}

fn main() {
    let _ = (Visit::default(), Cart::default());
}
