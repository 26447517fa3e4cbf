use rocket_typed_session::session;

#[session]
struct Visit {
    theme: String,
    #[session(rename = "theme")]
    look: String,
    #[session(alias = "theme", alias = "skin", alias = "skin")]
    color: String,
    skin: String,
}

fn main() {}
