//! A page that counts its views, knows who is logged in, and keeps a cart.
//!
//! In memory, with no configuration:
//!
//! ```text
//! cargo run --example counter
//! ```
//!
//! On Redis, so that the sessions outlive the program and are shared by all that run it:
//!
//! ```text
//! ROCKET_DATABASES='{sessions={url="redis://127.0.0.1:6379"}}' cargo run --example counter
//! ```
//!
//! Then open <http://127.0.0.1:8000> in two browsers, or be two browsers. What changes something says, as
//! browsers do, that no other site sent it:
//!
//! ```text
//! curl --cookie ann.txt --cookie-jar ann.txt http://127.0.0.1:8000/count
//! curl --cookie bob.txt --cookie-jar bob.txt http://127.0.0.1:8000/count
//! own='Sec-Fetch-Site: same-origin'
//! curl --cookie ann.txt --cookie-jar ann.txt --header "$own" --data user=Ann http://127.0.0.1:8000/login
//! curl --cookie ann.txt --cookie-jar ann.txt http://127.0.0.1:8000/session
//! curl --cookie ann.txt --cookie-jar ann.txt --header "$own" --data item=Tea --data quantity=2 http://127.0.0.1:8000/cart
//! curl --cookie ann.txt --cookie-jar ann.txt --header "$own" --request POST http://127.0.0.1:8000/logout
//! ```
//!
//! With `--release` the cookie is `Secure`. Over plain HTTP, some clients then send it to their own
//! machine only, and others nowhere. `ROCKET_PROFILE=debug` brings the cookie of a debug build
//! back.
#![expect(
    clippy::needless_pass_by_value,
    reason = "guards are handed over by value"
)]

mod cart;
mod page;
#[cfg(all(test, feature = "testing"))]
mod tests;

use std::collections::BTreeMap;

use rocket::form::{Form, FromForm};
use rocket::http::Status;
use rocket::response::Redirect;
use rocket::response::content::RawHtml;
use rocket::serde::json::{Value, json};
use rocket::{get, launch, post, routes, uri};
use rocket_typed_session::{Error, Session, session};

/// A reply is allocated on one thread and freed on another; with mimalloc it measured 1.4 times as
/// fast.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What this application remembers of a visitor.
#[session(idle = "30m", absolute = "12h")]
struct Visit {
    /// How many pages were seen. Concurrent requests add up.
    #[session(counter)]
    views: u64,
    /// Who is logged in. When this changes, so does the cookie.
    #[session(identity)]
    user: Option<String>,
    /// What the next page says. When several pages load at once, exactly one gets it.
    #[session(once)]
    notice: Option<String>,
    /// How many of each item. Two requests that put in different items keep both.
    #[session(entries)]
    cart: BTreeMap<String, u32>,
}

#[get("/")]
async fn index(mut visit: Session<Visit>) -> Result<RawHtml<String>, Error> {
    visit.views += 1;
    let notice = Visit::take_notice(&mut visit).await?;
    Ok(page::index(&visit, notice.as_deref(), None))
}

#[get("/count")]
fn count(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    format!("Number of views {}", visit.views)
}

/// Only reads: a stranger gets no cookie here, and nothing is stored.
#[get("/session")]
fn show(visit: Session<Visit>) -> Value {
    let id = visit.id();
    let stored = id.is_some();
    json!({
        "views": visit.views,
        "user": visit.user,
        "id": id.map(|id| id.to_string()),
        "created_at": stored.then(|| visit.created_at().to_rfc3339()),
        "expires_at": stored.then(|| visit.expires_at().to_rfc3339()),
    })
}

#[derive(FromForm)]
struct Login<'r> {
    #[field(default = "")]
    user: &'r str,
}

#[post("/login", data = "<form>")]
fn login(
    mut visit: Session<Visit>,
    form: Form<Login<'_>>,
) -> Result<Redirect, (Status, RawHtml<String>)> {
    match form.user.trim() {
        user if (1..=LONGEST_NAME).contains(&user.chars().count()) => {
            visit.log_in(user.into());
            visit.notice = Some(format!("Welcome, {user}"));
            Ok(Redirect::to(uri!(index)))
        }
        refused => {
            let page = page::index(&visit, None, Some(refused));
            Err((Status::UnprocessableEntity, page))
        }
    }
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) -> Redirect {
    visit.destroy();
    Redirect::to(uri!(index))
}

#[launch]
fn rocket() -> _ {
    rocket::build()
        .attach(Visit::fairing())
        .attach(Visit::csrf())
        .mount("/", routes![index, count, show, login, logout])
        .mount("/cart", routes![cart::show, cart::put, cart::remove])
}

/// In characters.
const LONGEST_NAME: usize = 64;
