//! This library, on Redis if `ROCKET_DATABASES` has a database `sessions`, else in memory.

mod sizes;

use std::time::Duration;

use rocket::tokio::time::sleep;
use rocket::{get, launch, routes};
use rocket_typed_session::{Session, session};

#[session]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(identity)]
    user: Option<String>,
    theme: String,
    language: String,
    region: String,
    last_page: String,
    greeting: String,
}

#[get("/bare")]
fn bare() -> &'static str {
    "hello"
}

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    let user = visit.user.as_deref().unwrap_or("nobody");
    format!("views={} user={user} theme={}", visit.views, visit.theme)
}

#[get("/count")]
fn count(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    visit.views.to_string()
}

#[get("/set?<to>")]
fn set(mut visit: Session<Visit>, to: String) -> &'static str {
    visit.last_page = to;
    "set"
}

#[get("/slow?<ms>")]
async fn slow(mut visit: Session<Visit>, ms: u64) -> &'static str {
    visit.last_page = "slow".into();
    sleep(Duration::from_millis(ms)).await;
    "slow"
}

#[get("/login?<user>")]
fn login(mut visit: Session<Visit>, user: String) -> &'static str {
    visit.log_in(user);
    visit.views = 1;
    visit.theme = "dark".into();
    visit.language = "en-GB".into();
    visit.region = "europe-west".into();
    visit.last_page = "/products/tea/green".into();
    visit.greeting = "Welcome back to the shop".into();
    "in"
}

#[get("/logout")]
fn logout(mut visit: Session<Visit>) -> &'static str {
    visit.destroy();
    "out"
}

#[get("/allocations")]
fn allocations() -> String {
    allocator::allocations().unwrap_or_default().to_string()
}

#[launch]
fn rocket() -> _ {
    sizes::rocket().unwrap_or_else(|| {
        let routes = routes![bare, read, count, set, slow, login, logout, allocations];
        rocket::build().attach(Visit::fairing()).mount("/", routes)
    })
}
