use std::collections::BTreeMap;

use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(identity, default = Some(1))]
    user: Option<u32>,
}

#[session]
struct Cart {
    #[session(counter, identity)]
    user: Option<u32>,
}

#[session]
struct Login {
    #[session(identity, max)]
    best: Option<u32>,
}

#[session]
struct Basket {
    #[session(min, identity)]
    worst: Option<u32>,
}

#[session]
struct Shop {
    #[session(identity, entries)]
    cart: BTreeMap<String, u32>,
}

#[session]
struct Challenge {
    #[session(once, identity)]
    code: Option<u32>,
}

#[session]
struct Kept {
    #[session(keep, identity)]
    user: Option<u32>,
}

#[session]
struct Lease {
    #[session(identity, ttl = "1h")]
    user: Option<u32>,
}

fn main() {}
