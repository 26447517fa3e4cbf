use rocket::Request;
use rocket::http::Status;
use rocket_typed_session::session;

#[derive(PartialEq, serde::Deserialize, serde::Serialize)]
struct UserId(u64);

#[session(
    guard(Admin = is_admin),
    guard(Staff = is_staff, async),
    guard(Sync = is_sync, async)
)]
struct Visit {
    #[session(identity, guard = Member)]
    user: Option<UserId>,
}

fn is_admin(_: &Visit) -> Option<bool> {
    None
}

async fn is_staff(_: &Visit) -> bool {
    true
}

fn is_sync(_: &Visit, _: &Request<'_>) -> Result<bool, Status> {
    Ok(true)
}

fn main() {}
