//! Members' and administrators' areas, a page of devices, and "log out everywhere".
//!
//! ```text
//! cargo run --example devices
//! ```
//!
//! Then open <http://127.0.0.1:8000> in two browsers, and log in to both with the password `let me in`, as
//! `admin` or any other name. Sessions are in memory; `examples/counter` shows how to use Redis.
#![expect(clippy::needless_pass_by_value, reason = "guards come by value")]

use minijinja::{Environment, context, value::Serde};
use rocket::response::content::RawHtml;
use rocket::{FromForm, form::Form, get, launch, post, response::Redirect, routes};
use rocket_typed_session::{Error, ReturnTo, Session, SessionId, Sessions, session};

#[cfg(all(test, feature = "testing"))]
mod tests;

#[session(devices, max_sessions = 5, guard(Admin = is_admin, status = 403))]
struct Visit {
    #[session(identity, guard(Member, redirect = "/login"))]
    user: Option<String>,
}

fn is_admin(visit: &Visit) -> bool {
    visit.user.as_deref() == Some("admin")
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

/// After a wrong password, the next page's guard asks for another login.
#[post("/login", data = "<login>")]
fn login(login: Form<Login>, mut visit: Session<Visit>) -> ReturnTo {
    if login.password == "let me in" {
        visit.log_in(login.user.clone());
    }
    login.into_inner().next
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) -> Redirect {
    visit.destroy();
    Redirect::to("/login")
}

#[get("/")]
async fn devices(member: Member, sessions: Sessions<Visit>) -> Result<RawHtml<String>, Error> {
    let devices = sessions.of(member.clone()).list().await?;
    let context = context! { user => member.as_str(), devices => Serde(devices) };
    // The suffix `.html` turns on escaping.
    let page = Environment::new().render_named_str(".html", include_str!("devices.html"), context);
    Ok(RawHtml(page.expect("a template that the tests render")))
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
    let rocket = rocket::build().attach(Visit::fairing());
    rocket.attach(Visit::csrf()).mount("/", routes)
}
