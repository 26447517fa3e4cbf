use std::collections::BTreeMap;

use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(skip, counter)]
    views: u64,
    #[session(skip, identity)]
    user: Option<String>,
    #[session(skip, rename = "look")]
    theme: String,
    #[session(alias = "colour", skip)]
    color: String,
    #[session(skip, max)]
    best: u64,
    #[session(min, skip)]
    worst: u64,
    #[session(skip, entries)]
    cart: BTreeMap<String, u64>,
    #[session(skip, once)]
    code: Option<u64>,
    #[session(skip, keep)]
    language: String,
    #[session(skip, max_size = "1KiB")]
    note: String,
    #[session(skip, ttl = "5m")]
    token: String,
    #[session(skip, on_unreadable = "error")]
    strict: String,
    #[session(skip, migrate = read)]
    older: String,
}

fn main() {}
