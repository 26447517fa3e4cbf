//! The application before the deploy.

use rocket::{get, launch, post, routes};
use rocket_typed_session::{Session, session};

#[session(cookie = "visit")]
struct Visit {
    #[session(identity)]
    user: Option<String>,
    #[session(counter)]
    views: u64,
    theme: String,
    #[session(counter)]
    clicks: u64,
    size: u32,
    removed: String,
}

#[get("/")]
fn show(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    format!(
        "user={:?} views={} theme={} clicks={} size={} removed={}",
        visit.user, visit.views, visit.theme, visit.clicks, visit.size, visit.removed
    )
}

#[post("/<field>/<value>")]
fn set(mut visit: Session<Visit>, field: &str, value: &str) {
    match field {
        "user" => visit.user = Some(value.into()),
        "theme" => visit.theme = value.into(),
        "click" => visit.clicks += 1,
        "size" => visit.size = value.parse().unwrap_or_default(),
        _ => visit.removed = value.into(),
    }
}

#[launch]
fn rocket() -> _ {
    rocket::build()
        .attach(Visit::fairing())
        .mount("/", routes![show, set])
}
