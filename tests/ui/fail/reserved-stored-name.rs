use rocket_typed_session::session;

#[session]
struct Visit {
    #[session(rename = "@views", alias = "")]
    views: u64,
    #[session(rename = "cart:1")]
    cart: String,
    #[session(alias = "a\nb")]
    theme: String,
}

fn main() {}
