//! The program that the library was designed for compiles and works.

use rocket::local::blocking::Client;
use rocket::{get, post, response::Redirect, routes, uri};
use rocket_typed_session::{Session, session};
use serde::{Deserialize, Serialize};

#[derive(Default, Deserialize, Serialize)]
enum Theme {
    Dark,
    #[default]
    Light,
}

#[session(idle = "30m", absolute = "12h")]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(identity)]
    user: Option<String>,
    theme: Theme, // any serde type with a Default
}

#[get("/")]
fn index(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    format!("Number of views {}", visit.views)
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) -> Redirect {
    visit.destroy();
    Redirect::to(uri!(index))
}

fn rocket() -> rocket::Rocket<rocket::Build> {
    rocket::build()
        .attach(Visit::fairing())
        .mount("/", routes![index, logout])
}

#[test]
fn it_counts_and_a_logout_begins_anew() {
    let client = Client::tracked(rocket()).unwrap();
    let view = || client.get("/").dispatch().into_string().unwrap();
    assert_eq!(view(), "Number of views 1");
    assert_eq!(view(), "Number of views 2");
    client.post("/logout").dispatch();
    assert_eq!(view(), "Number of views 1");
}
