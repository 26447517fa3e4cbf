use std::collections::BTreeMap;

use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(entries, ttl = "5m")]
    cart: BTreeMap<String, u64>,
    #[session(entries, default = BTreeMap::new())]
    seen: BTreeMap<String, u64>,
    #[session(entries, migrate = read)]
    older: BTreeMap<String, u64>,
    #[session(on_unreadable = "error", entries)]
    strict: BTreeMap<String, u64>,
}

fn main() {}
