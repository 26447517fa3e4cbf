//! A small shop: accounts, a cart, devices, an administrators' area.
//!
//! ```text
//! cargo run -p shop
//! ```
//!
//! Then open <http://127.0.0.1:8000>. Sessions, users and products are in memory. This keeps them:
//!
//! ```text
//! ROCKET_DATABASES='{sessions={url="redis://127.0.0.1:6379"}}' ROCKET_SHOP=shop.sqlite cargo run -p shop
//! ```
//!
//! A new database gets the account `admin`. The terminal shows its password once.
#![forbid(unsafe_code)]
#![expect(
    clippy::needless_pass_by_value,
    reason = "guards are handed over by value"
)]

mod account;
mod admin;
mod assets;
mod browser;
mod cart;
mod catchers;
mod database;
mod devices;
mod failure;
mod headers;
mod home;
mod page;
mod passwords;
mod products;
#[cfg(test)]
mod tests;
mod users;
mod visit;

use rocket::{Build, Rocket, launch};

use crate::visit::{AdminVisit, Visit};

#[launch]
fn rocket() -> Rocket<Build> {
    rocket::build()
        .attach(headers::strict())
        .attach(database::fairing())
        .attach(Visit::fairing())
        .attach(Visit::csrf())
        .attach(AdminVisit::fairing())
        .mount("/", assets::routes())
        .mount("/", home::routes())
        .mount("/", account::routes())
        .mount("/cart", cart::routes())
        .mount("/devices", devices::routes())
        .mount("/admin", admin::routes())
        .register("/", catchers::catchers())
}
