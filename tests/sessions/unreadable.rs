//! Stored values that cannot be read as declared: a logout still works, and nothing else is lost.

use std::collections::BTreeMap;

use rocket::response::Redirect;
use rocket::{Build, Rocket, get, post, routes};
use rocket_typed_session::{Error, Session, session};

use crate::support::http::{Browser, Server};
use crate::support::log::{Log, alone};
use crate::support::own::{configured, quiet};
use crate::support::redis::RedisServer;

#[session(cookie = "visit")]
struct Visit {
    note: String,
    #[session(counter)]
    views: u8,
    #[session(max)]
    best: u8,
    #[session(entries)]
    cart: BTreeMap<String, u32>,
    #[session(on_unreadable = "drop_session")]
    level: u8,
    #[session(on_unreadable = "error")]
    role: u8,
}

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    format!(
        "note={} views={} best={} cart={:?} level={} role={}",
        visit.note, visit.views, visit.best, visit.cart, visit.level, visit.role
    )
}

#[post("/fill")]
fn fill(mut visit: Session<Visit>) {
    visit.note = "kept".into();
    visit.cart.insert("tea".into(), 1);
    visit.views += 1;
    visit.best = 7;
    visit.level = 1;
    visit.role = 1;
}

#[post("/view")]
fn view(mut visit: Session<Visit>) {
    visit.views += 1;
    visit.best = visit.best.max(9);
}

/// As every tutorial shows it.
#[post("/logout")]
fn logout(mut visit: Session<Visit>) -> Redirect {
    visit.destroy();
    Redirect::to("/read")
}

/// Works whatever is stored.
#[post("/logout-anyhow")]
fn logout_anyhow(visit: Result<Session<Visit>, Error>) -> Result<Redirect, Error> {
    match visit {
        Ok(mut visit) => visit.destroy(),
        Err(error) if error.is_decode() => error.destroy(),
        Err(error) => return Err(error),
    }
    Ok(Redirect::to("/read"))
}

struct World {
    redis: RedisServer,
    server: Server,
}

impl World {
    async fn new() -> Self {
        let redis = RedisServer::start();
        let rocket: Rocket<Build> = configured(quiet(), "databases.sessions.url", &redis.url());
        let routes = routes![read, fill, view, logout, logout_anyhow];
        let rocket = rocket.attach(Visit::fairing()).mount("/", routes);
        let server = Server::launch(rocket).await;
        Self { redis, server }
    }

    async fn with(&self, name: &str, junk: &str) -> (Browser, String) {
        let mut browser = self.server.browser();
        browser.post("/fill", &[]).await;
        let key = self.redis.keys().pop().unwrap();
        let _: i64 = self.redis.command(&["HSET", &key, name, junk]);
        (browser, key)
    }
}

#[tokio::test]
async fn a_logout_ends_a_session_that_is_dropped_because_it_cannot_be_read() {
    let world = World::new().await;
    let (mut browser, _) = world.with("level", "\"high\"").await;
    let empty = "note= views=0 best=0 cart={} level=0 role=0";
    assert_eq!(browser.get("/read").await.text(), empty);
    let response = browser.post("/logout", &[]).await;
    assert_eq!((response.status, response.set_cookies().len()), (303, 1));
    assert!(world.redis.keys().is_empty(), "the record is deleted");
}

#[tokio::test]
async fn a_logout_is_possible_where_what_cannot_be_read_is_an_error() {
    let world = World::new().await;
    let (mut browser, _) = world.with("role", "\"admin\"").await;
    assert_eq!(browser.get("/read").await.status, 500);
    let response = browser.post("/logout-anyhow", &[]).await;
    assert_eq!((response.status, response.set_cookies().len()), (303, 1));
    assert!(world.redis.keys().is_empty());
    assert_eq!(browser.get("/read").await.status, 200);
}

/// As after a deploy that narrows a counter's type.
#[tokio::test]
async fn a_number_that_does_not_fit_any_more_is_replaced_not_an_error_for_ever() {
    let world = World::new().await;
    let (mut browser, key) = world.with("views", "300").await;
    let _: i64 = world.redis.command(&["HSET", &key, "best", "300"]);
    let read = browser.get("/read").await.text();
    assert!(read.starts_with("note=kept views=0 best=0"), "{read}");
    assert_eq!(browser.post("/view", &[]).await.status, 200);
    let read = browser.get("/read").await.text();
    assert!(read.starts_with("note=kept views=1 best=9"), "{read}");
}

#[test]
fn an_entry_that_cannot_be_read_is_told_once_and_its_key_never() {
    alone(async || {
        let log = Log::keep();
        let world = World::new().await;
        let (mut browser, _) = world.with("cart:milk\nlie", "\"much\"").await;
        for _ in 0..5 {
            let read = browser.get("/read").await.text();
            assert!(read.contains("cart={\"tea\": 1}"), "{read}");
        }
        let lines = log.with("an entry of `cart` cannot be read");
        assert_eq!(lines.len(), 1, "{lines:#?}");
        // A visitor may have chosen the key.
        assert!(log.with("milk").is_empty() && log.with("lie").is_empty());
    });
}
