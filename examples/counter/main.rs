//! A page that counts its views, knows who is logged in, and keeps a cart.
//!
//! In memory, without configuration:
//!
//! ```text
//! cargo run --example counter
//! ```
//!
//! On Redis, where sessions outlive the program and several programs can share them:
//!
//! ```text
//! ROCKET_DATABASES='{sessions={url="redis://127.0.0.1:6379"}}' cargo run --example counter
//! ```
//!
//! Then open <http://127.0.0.1:8000> in two browsers, or use curl as two browsers. The `Sec-Fetch-Site`
//! header says, as browsers do, that no other site sent the request:
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
//! With `--release` the cookie is `Secure`: over plain HTTP, some clients send it only to their own machine,
//! others nowhere. `ROCKET_PROFILE=debug` restores the debug cookie.
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

/// A reply is allocated on one thread and freed on another; mimalloc measured 1.4 times as fast.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[session(idle = "30m", absolute = "12h")]
struct Visit {
    /// Concurrent requests add up.
    #[session(counter)]
    views: u64,
    /// When the user changes, so does the cookie.
    #[session(identity)]
    user: Option<String>,
    /// The next page shows this. If several pages load at once, exactly one does.
    #[session(once)]
    notice: Option<String>,
    /// The quantity of each item. Concurrent changes to different items both count.
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

/// Only reads, so a new visitor gets no cookie, and nothing is stored.
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

const LONGEST_NAME: usize = 64;
