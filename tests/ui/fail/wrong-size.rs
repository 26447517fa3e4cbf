use rocket_typed_session::session;

#[session(max_size = "much")]
struct Visit {
    #[session(max_size = "64 apples")]
    note: String,
    #[session(max_size = "0B")]
    draft: String,
    #[session(max_size = 64)]
    title: String,
}

#[session(max_size = "0KiB")]
struct Cart {}

fn main() {}
