//! Sessions in long responses: an event stream that stores its count, and a WebSocket that ends on logout in
//! another tab.
//!
//! ```text
//! cargo run -p stream
//! ```
//!
//! Then open <http://127.0.0.1:8000> in two tabs.
#![forbid(unsafe_code)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "guards are handed over by value"
)]

mod talk;
#[cfg(test)]
mod tests;
mod ticks;

use minijinja::{Environment, context};
use rocket::form::Form;
use rocket::http::ContentType;
use rocket::response::Redirect;
use rocket::response::content::RawHtml;
use rocket::{Build, FromForm, Rocket, get, launch, post, routes};
use rocket_typed_session::{Session, session};

#[session]
pub(crate) struct Visit {
    #[session(identity, guard(Member, status = 401))]
    user: Option<String>,
    /// The seconds that all tabs together have watched.
    #[session(counter)]
    ticks: u64,
}

#[derive(FromForm)]
struct Login<'r> {
    #[field(validate = len(1..=40))]
    user: &'r str,
}

#[get("/")]
fn index(visit: Session<Visit>) -> RawHtml<String> {
    let context = context! { user => visit.user.as_deref(), ticks => visit.ticks };
    // The suffix `.html` turns on escaping.
    let page = Environment::new().render_named_str(".html", include_str!("index.html"), context);
    RawHtml(page.expect("a template that the tests render"))
}

#[get("/stream.js")]
fn script() -> (ContentType, &'static str) {
    (ContentType::JavaScript, include_str!("stream.js"))
}

#[post("/login", data = "<login>")]
fn login(login: Form<Login<'_>>, mut visit: Session<Visit>) -> Redirect {
    visit.log_in(login.user.to_owned());
    Redirect::to("/")
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) -> Redirect {
    visit.destroy();
    Redirect::to("/")
}

#[launch]
fn rocket() -> Rocket<Build> {
    let routes = routes![index, script, login, logout, ticks::ticks, talk::talk];
    rocket::build()
        .attach(Visit::fairing())
        .attach(Visit::csrf())
        .mount("/", routes)
}
