use std::collections::BTreeMap;

use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(group = "address", counter)]
    views: u64,
    #[session(max, group = "address")]
    best: u64,
    #[session(group = "address", min)]
    worst: u64,
    #[session(group = "address", entries)]
    cart: BTreeMap<String, u64>,
    #[session(once, group = "address")]
    code: Option<u64>,
}

fn main() {}
