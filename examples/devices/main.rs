//! Who is logged in, where: a members' area, an administrators' area, a page of devices, and "log out
//! everywhere".
//!
//! ```text
//! cargo run --example devices
//! ```
//!
//! Then open <http://127.0.0.1:8000> in two browsers, and log in to both with the password `let me in`,
//! as `admin` or as anybody else. Its sessions are in memory; `examples/counter` says how to put them on
//! Redis.
#![expect(
    clippy::needless_pass_by_value,
    reason = "guards are handed over by value"
)]

use rocket::form::{Form, FromForm};
use rocket::http::RawStr;
use rocket::response::{Redirect, content::RawHtml};
use rocket::{get, launch, post, routes};
use rocket_typed_session::{Error, ReturnTo, Session, SessionId, Sessions, session};

#[cfg(all(test, feature = "testing"))]
mod tests;

#[session(devices, max_sessions = 5, guard(Admin = is_admin, status = 403))]
struct Visit {
    #[session(identity, guard(Member, redirect = "/login"))]
    user: Option<String>,
    is_admin: bool,
}

fn is_admin(visit: &Visit) -> bool {
    visit.is_admin
}

#[derive(FromForm)]
struct Login {
    user: String,
    password: String,
    next: ReturnTo,
}

#[get("/login?<next>")]
fn login_page(next: ReturnTo) -> RawHtml<String> {
    RawHtml(format!(include_str!("login.html"), next = next))
}

#[post("/login", data = "<login>")]
fn login(login: Form<Login>, mut visit: Session<Visit>) -> Redirect {
    let login = login.into_inner();
    if login.password != "let me in" {
        return Redirect::to("/login");
    }
    // After the login: if somebody else was logged in, this is the new session already.
    visit.log_in(login.user);
    visit.is_admin = visit.user.as_deref() == Some("admin");
    Redirect::to(login.next.uri().clone())
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) -> Redirect {
    visit.destroy();
    Redirect::to("/login")
}

#[get("/")]
async fn devices(member: Member, sessions: Sessions<Visit>) -> Result<RawHtml<String>, Error> {
    let list = sessions.of(member.clone()).list().await?;
    let rows = list.iter().map(|device| {
        let label = RawStr::new(&device.label).html_escape();
        let (id, seen) = (device.id, device.last_seen_at.format("%F %R"));
        let here = if device.is_current { "this one" } else { "" };
        format!(
            include_str!("device.html"),
            id = id,
            label = label,
            seen = seen,
            here = here
        )
    });
    let user = RawStr::new(member.as_str()).html_escape();
    let rows = rows.collect::<String>();
    Ok(RawHtml(format!(
        include_str!("devices.html"),
        user = user,
        rows = rows
    )))
}

#[post("/devices/<id>/end")]
async fn end(id: SessionId, member: Member, sessions: Sessions<Visit>) -> Result<Redirect, Error> {
    sessions.of(member.clone()).end(id).await?;
    Ok(Redirect::to("/"))
}

#[post("/log-out-everywhere")]
async fn everywhere(member: Member, sessions: Sessions<Visit>) -> Result<Redirect, Error> {
    sessions.of(member.clone()).end_all().await?;
    Ok(Redirect::to("/login"))
}

#[get("/admin")]
fn admin(admin: Admin) -> String {
    format!("Only administrators see this, {:?}.", admin.user)
}

#[launch]
fn rocket() -> _ {
    let routes = routes![login_page, login, logout, devices, end, everywhere, admin];
    rocket::build()
        .attach(Visit::fairing())
        .attach(Visit::csrf())
        .mount("/", routes)
}
