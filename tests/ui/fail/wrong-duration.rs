use rocket_typed_session::session;

#[session(idle = "30x", absolute = "", touch = "12")]
struct Visit {}

#[session(idle = "0s", absolute = "18446744073709551615s 1000ms")]
struct Cart {
    #[session(ttl = "500us")]
    code: u64,
    #[session(ttl = "5 minuets")]
    token: u64,
}

fn main() {}
