//! More than one machine: clusters, sentinels, TLS, replicas to wait for.

mod cluster;
mod conforming;
mod faults;
mod sentinel;
mod tls;

use rocket::figment::Figment;
use rocket::serde::Serialize;
use rocket::{Build, Rocket};

use crate::app::Visit;
use crate::site::key;
use crate::support::http::{Browser, Server};

/// The application with these keys of the sessions' database.
fn rocket<const N: usize>(keys: [(&str, Value); N]) -> Rocket<Build> {
    let figment = crate::app::rocket().figment().clone();
    let figment = keys.into_iter().fold(figment, |figment, (key, value)| {
        figment.merge((format!("databases.sessions.{key}"), value))
    });
    crate::app::rocket().configure(figment)
}

#[derive(Clone, Debug, Serialize)]
#[serde(crate = "rocket::serde", untagged)]
enum Value {
    Number(usize),
    Text(String),
    Texts(Vec<String>),
}

fn with(rocket: Rocket<Build>, key: &str, value: &str) -> Rocket<Build> {
    let figment: Figment = rocket.figment().clone();
    rocket.configure(figment.merge((format!("sessions.visit.{key}"), value)))
}

async fn launch(rocket: Rocket<Build>) -> Server {
    Server::launch(rocket.attach(Visit::fairing())).await
}

async fn view(browser: &mut Browser) -> (u16, String) {
    let response = browser.get("/view").await;
    (response.status, response.text())
}
