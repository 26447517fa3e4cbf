use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(group = "adress")]
    street: String,
    #[session(group = "address")]
    city: String,
    #[session(group = "address")]
    country: String,
    #[cfg(any())]
    #[session(group = "name")]
    name: u8,
    #[cfg(not(any()))]
    #[session(group = "name")]
    name: String,
}

fn main() {}
