use std::collections::BTreeMap;

use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(counter, max)]
    views: u64,
    #[session(min, max)]
    best: u64,
    #[session(entries, counter)]
    cart: BTreeMap<String, u64>,
    #[session(once, min)]
    code: Option<u64>,
    #[session(entries, once, counter)]
    seen: BTreeMap<String, u64>,
}

fn main() {}
