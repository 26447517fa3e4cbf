//! The application after the deploy: fields were added, removed, renamed, and changed in type.

use rocket::{get, launch, post, routes};
use rocket_typed_session::{Session, session};

#[session(cookie = "visit")]
struct Visit {
    #[session(identity)]
    user: Option<String>,
    #[session(counter)]
    views: u64,
    #[session(alias = "theme")]
    look: String,
    #[session(counter, alias = "clicks")]
    hits: u64,
    #[session(migrate = with_unit)]
    size: String,
    added: Option<String>,
}

/// Sizes were in pixels.
fn with_unit(stored: &str) -> Option<String> {
    let pixels: u32 = stored.parse().ok()?;
    Some(format!("{pixels}px"))
}

#[get("/")]
fn show(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    format!(
        "user={:?} views={} look={} hits={} size={} added={:?}",
        visit.user, visit.views, visit.look, visit.hits, visit.size, visit.added
    )
}

#[post("/<field>/<value>")]
fn set(mut visit: Session<Visit>, field: &str, value: &str) {
    match field {
        "user" => visit.user = Some(value.into()),
        "look" => visit.look = value.into(),
        "hit" => visit.hits += 1,
        "size" => visit.size = value.into(),
        _ => visit.added = Some(value.into()),
    }
}

#[launch]
fn rocket() -> _ {
    rocket::build()
        .attach(Visit::fairing())
        .mount("/", routes![show, set])
}
