//! The sessions, and the access rules.

use std::collections::BTreeMap;

use rocket::Request;
use rocket::http::Status;
use rocket_typed_session::session;

use crate::database::Database;
use crate::users;

#[session(max_sessions = 10, guard(Staff = is_staff, async, status = 403))]
pub(crate) struct Visit {
    /// The logged-in user's id. When it changes, so does the token.
    #[session(identity, guard(Member, redirect = "/login"))]
    pub(crate) user: Option<String>,
    /// The user's name.
    pub(crate) name: String,
    /// The quantity of each product. Concurrent changes to different products both count.
    #[session(entries)]
    pub(crate) cart: BTreeMap<u32, u32>,
    /// The next page shows this. If two load at once, only one does.
    #[session(once, ttl = "5m")]
    pub(crate) notice: Option<String>,
}

/// The administrators' session: it needs the password again, is short, and ends with the visit in which it
/// began.
#[session(
    parent = Visit,
    cookie = "admin",
    path = "/admin",
    same_site = "Strict",
    idle = "10m",
    absolute = "2h",
    guard(Admin = is_admin, async, redirect = "/admin/login")
)]
pub(crate) struct AdminVisit {
    #[session(identity)]
    pub(crate) admin: Option<String>,
}

/// Asks the database each time, so a demotion counts from the next request.
async fn is_staff(visit: &Visit, request: &Request<'_>) -> Result<bool, Status> {
    is_staff_member(visit.user.clone(), request).await
}

async fn is_admin(visit: &AdminVisit, request: &Request<'_>) -> Result<bool, Status> {
    is_staff_member(visit.admin.clone(), request).await
}

async fn is_staff_member(user: Option<String>, request: &Request<'_>) -> Result<bool, Status> {
    let Some(user) = user else {
        return Ok(false);
    };
    let database = request.rocket().state::<Database>();
    let database = database.ok_or(Status::InternalServerError)?;
    let is_staff = database.call(move |db| users::is_staff(db, &user)).await;
    is_staff.map_err(|_| Status::InternalServerError)
}
