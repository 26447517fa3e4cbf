use rocket_typed_session::session;

#[session(idel = "30m")]
struct Visit {
    #[session(conter)]
    views: u64,
    #[session(colour)]
    theme: String,
    #[session(onec, entires, tll = "5m", onunreadable = "error")]
    code: Option<u64>,
}

fn main() {}
