//! Rocket without sessions: the least that every other Rocket server here pays.

use rocket::{get, launch, routes};

#[get("/bare")]
fn bare() -> &'static str {
    "hello"
}

#[get("/allocations")]
fn allocations() -> String {
    allocator::allocations().unwrap_or_default().to_string()
}

/// Rocket reads its port and its log level from the environment.
#[launch]
fn rocket() -> _ {
    rocket::build().mount("/", routes![bare, allocations])
}
