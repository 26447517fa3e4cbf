//! Rocket without sessions, the minimum for the Rocket servers.

use rocket::{get, launch, routes};

#[get("/bare")]
fn bare() -> &'static str {
    "hello"
}

#[get("/allocations")]
fn allocations() -> String {
    allocator::allocations().unwrap_or_default().to_string()
}

#[launch]
fn rocket() -> _ {
    rocket::build().mount("/", routes![bare, allocations])
}
