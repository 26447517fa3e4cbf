use rocket_typed_session::session;

#[session(
    guard,
    guard = Everybody,
    guard(Nobody),
    guard(),
    guard(Async, within = "5m", async),
    guard(Both = is_admin, status = 403, redirect = "/login"),
    guard(Fine = is_admin, status = 200),
    guard(Abroad = is_admin, redirect = "https://example.com"),
    guard(Elsewhere = is_admin, redirect = "//example.com"),
    guard(AtOnce, within = "0s"),
    guard(Twice = is_admin, within = "5m", within = "6m"),
    guard(Unknown = is_admin, redirct = "/login"),
    guard(NoFunction = 1)
)]
struct Visit {
    #[session(identity, guard(Member = is_admin))]
    user: Option<u64>,
    #[session(guard = OfAField)]
    level: u8,
}

#[session]
struct TwoGuards {
    #[session(identity, guard(Page, redirect = "/login"), guard(Api, status = 401))]
    user: Option<u64>,
}

#[session(guard(Recent, within = "5m"))]
struct Anonymous {
    views: u64,
}

fn is_admin(_: &Visit) -> bool {
    true
}

fn main() {}
