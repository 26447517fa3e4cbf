//! Changes of the user: by guards, in a transaction, and with types whose encoding varies. On both stores.

use std::collections::HashSet;

use rocket::{Build, Rocket, get, post, routes};
use rocket_typed_session::{Error, Session, TransactError, session};
use serde::{Deserialize, Serialize};

use crate::support::http::Server;
use crate::support::own::on_all_stores;

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct User {
    name: String,
    roles: HashSet<String>,
    /// Older builds did not store it.
    #[serde(default)]
    level: u8,
}

fn user(name: &str) -> User {
    let roles = ["admin", "editor", "reader", "writer", "owner", "guest"];
    User {
        name: name.into(),
        roles: roles.map(String::from).into(),
        level: 0,
    }
}

#[session(cookie = "visit")]
struct Visit {
    #[session(identity)]
    user: Option<User>,
    #[session(counter)]
    views: u64,
    note: String,
    #[session(keep)]
    theme: String,
    #[session(once)]
    code: Option<String>,
}

fn show(visit: &Visit) -> String {
    let name = visit.user.as_ref().map_or("-", |user| &user.name);
    format!(
        "{name} views={} note={} theme={} code={}",
        visit.views,
        visit.note,
        visit.theme,
        visit.code.as_deref().unwrap_or("-")
    )
}

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    show(&visit)
}

#[get("/id")]
fn id(visit: Session<Visit>) -> String {
    visit.id().map_or("-".into(), |id| id.to_string())
}

#[post("/view")]
fn view(mut visit: Session<Visit>) {
    visit.views += 1;
}

#[post("/fill/<text>")]
fn fill(mut visit: Session<Visit>, text: &str) {
    visit.note = text.into();
    visit.theme = text.into();
    visit.code = Some(text.into());
    visit.views += 5;
}

#[post("/login/<name>")]
fn login(mut visit: Session<Visit>, name: &str) {
    visit.user = Some(user(name));
}

#[post("/log_in/<name>")]
fn log_in(mut visit: Session<Visit>, name: &str) -> String {
    visit.log_in(user(name));
    show(&visit)
}

#[post("/leave")]
fn leave(mut visit: Session<Visit>) {
    visit.user = None;
}

/// A guard that logs in and is dropped before the handler begins.
struct Switched;

#[rocket::async_trait]
impl<'r> rocket::request::FromRequest<'r> for Switched {
    type Error = Error;

    async fn from_request(
        request: &'r rocket::Request<'_>,
    ) -> rocket::request::Outcome<Self, Error> {
        let guard = request.guard::<Session<Visit>>().await;
        guard.map(|mut visit| {
            visit.user = Some(user("bob"));
            visit.note = "of bob".into();
            Self
        })
    }
}

#[post("/switched")]
fn switched(mut visit: Session<Visit>, _bob: Switched) {
    // Unchanged although borrowed mutably: this guard began before the other, and sees alice.
    let _borrowed: &mut Visit = &mut visit;
}

#[post("/transact/<name>")]
async fn transact(mut visit: Session<Visit>, name: &str) -> Result<String, TransactError<Error>> {
    visit.user = Some(user(name));
    let one_more = |visit: &mut Visit| -> Result<(), Error> {
        visit.views += 1;
        Ok(())
    };
    visit.transact(one_more).await?;
    Ok(show(&visit))
}

#[post("/take-as/<name>")]
async fn take_as(mut visit: Session<Visit>, name: &str) -> Result<String, Error> {
    visit.user = Some(user(name));
    let taken = Visit::take_code(&mut visit).await?;
    Ok(format!("{taken:?} {}", show(&visit)))
}

#[post("/save-as/<name>")]
async fn save_as(mut visit: Session<Visit>, name: &str) -> Result<String, Error> {
    visit.user = Some(user(name));
    visit.save().await?;
    visit.views += 1;
    Ok(show(&visit))
}

#[post("/assign-and-go-on")]
fn assign_and_go_on(mut visit: Session<Visit>) -> String {
    visit.user = Some(user("bob"));
    let shown = show(&visit);
    visit.note.push_str("greeting");
    visit.views += 1;
    format!("{shown}, then {}", show(&visit))
}

/// What both guards write before the switch is this request's.
#[post("/write-then-switch")]
fn write_then_switch(mut first: Session<Visit>, mut second: Session<Visit>) {
    first.note = "of this request".into();
    drop(first);
    second.views += 2;
    second.user = Some(user("bob"));
}

fn build(rocket: Rocket<Build>) -> Rocket<Build> {
    let routes = routes![
        read,
        assign_and_go_on,
        id,
        view,
        fill,
        login,
        log_in,
        leave,
        switched,
        transact,
        take_as,
        save_as,
        write_then_switch
    ];
    rocket.attach(Visit::fairing()).mount("/", routes)
}

/// Alice's data: only the theme passes to another user.
async fn alices(server: &Server) -> crate::support::http::Browser {
    let mut browser = server.browser();
    browser.post("/login/alice", &[]).await;
    browser.post("/fill/alices", &[]).await;
    browser
}

/// `path` turns alice into bob: he has a new session, and her token opens nothing.
async fn is_bobs(server: &Server, path: &str, expected: &str) {
    let mut browser = alices(server).await;
    let mut alice = browser.clone();
    let id = browser.get("/id").await.text();
    assert_eq!(browser.post(path, &[]).await.status, 200, "{path}");
    assert_ne!(browser.jar, alice.jar, "{path}: a new cookie");
    assert_eq!(browser.get("/read").await.text(), expected, "{path}");
    assert_ne!(
        browser.get("/id").await.text(),
        id,
        "{path}: an id is one user's for life"
    );
    assert!(
        alice.get("/read").await.text().starts_with("- "),
        "{path}: her token opens nothing"
    );
}

#[tokio::test]
async fn a_switch_of_user_begins_another_session_however_it_is_made() {
    on_all_stores(build, async |server| {
        is_bobs(
            &server,
            "/login/bob",
            "bob views=0 note= theme=alices code=-",
        )
        .await;
        is_bobs(
            &server,
            "/log_in/bob",
            "bob views=0 note= theme=alices code=-",
        )
        .await;
        is_bobs(
            &server,
            "/switched",
            "bob views=0 note=of bob theme=alices code=-",
        )
        .await;
        is_bobs(
            &server,
            "/transact/bob",
            "bob views=1 note= theme=alices code=-",
        )
        .await;
        is_bobs(
            &server,
            "/take-as/bob",
            "bob views=0 note= theme=alices code=-",
        )
        .await;
        is_bobs(
            &server,
            "/save-as/bob",
            "bob views=1 note= theme=alices code=-",
        )
        .await;
        let went_on = "bob views=1 note=greeting theme=alices code=-";
        is_bobs(&server, "/assign-and-go-on", went_on).await;
        let wrote = "bob views=2 note=of this request theme=alices code=-";
        is_bobs(&server, "/write-then-switch", wrote).await;
    })
    .await;
}

#[tokio::test]
async fn the_guard_that_switched_shows_nothing_of_the_previous_user() {
    on_all_stores(build, async |server| {
        for (path, expected) in [
            ("/log_in/bob", "bob views=0 note= theme=alices code=-"),
            ("/transact/bob", "bob views=1 note= theme=alices code=-"),
            ("/take-as/bob", "None bob views=0 note= theme=alices code=-"),
            ("/save-as/bob", "bob views=1 note= theme=alices code=-"),
            (
                "/assign-and-go-on",
                "bob views=0 note= theme=alices code=-, \
                 then bob views=1 note=greeting theme=alices code=-",
            ),
        ] {
            let mut browser = alices(&server).await;
            assert_eq!(browser.post(path, &[]).await.text(), expected, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn the_next_user_finds_nothing_of_the_one_who_left() {
    on_all_stores(build, async |server| {
        let mut browser = alices(&server).await;
        browser.post("/leave", &[]).await;
        let left = "- views=0 note= theme=alices code=-";
        assert_eq!(browser.get("/read").await.text(), left);
        browser.post("/login/bob", &[]).await;
        let bobs = "bob views=0 note= theme=alices code=-";
        assert_eq!(browser.get("/read").await.text(), bobs);
    })
    .await;
}

/// A set iterates in another order in each value, so the same identity encodes to other bytes.
#[tokio::test]
async fn an_identity_that_encodes_differently_each_time_is_the_same() {
    on_all_stores(build, async |server| {
        let mut browser = alices(&server).await;
        let before = browser.jar.clone();
        for _ in 0..5 {
            browser.post("/view", &[]).await;
        }
        assert_eq!(browser.jar, before, "no new token");
        let read = browser.get("/read").await.text();
        assert_eq!(read, "alice views=10 note=alices theme=alices code=alices");
    })
    .await;
}

#[tokio::test]
async fn the_same_user_who_logs_in_again_gets_new_tokens_and_keeps_the_session() {
    on_all_stores(build, async |server| {
        let mut browser = alices(&server).await;
        let mut old = browser.clone();
        let id = browser.get("/id").await.text();
        browser.post("/log_in/alice", &[]).await;
        assert_ne!(browser.jar, old.jar);
        let read = browser.get("/read").await.text();
        assert_eq!(read, "alice views=5 note=alices theme=alices code=alices");
        assert_eq!(browser.get("/id").await.text(), id);
        assert!(old.get("/read").await.text().starts_with("- "));
        // An assignment of the same value changes nothing.
        let before = browser.jar.clone();
        let mut plain = browser.clone();
        plain.post("/view", &[]).await;
        assert_eq!(plain.jar, before);
    })
    .await;
}

#[tokio::test]
async fn an_identity_that_an_older_build_stored_is_the_same() {
    use crate::support::own::{configured, quiet};
    let redis = crate::support::redis::RedisServer::start();
    let rocket = configured(quiet(), "databases.sessions.url", &redis.url());
    let server = Server::launch(build(rocket)).await;
    let mut browser = alices(&server).await;
    let key = redis.keys().pop().unwrap();
    let older = r#"{"roles":["admin"],"name":"alice"}"#;
    let _: i64 = redis.command(&["HSET", &key, "user", older]);
    let before = browser.jar.clone();
    browser.post("/view", &[]).await;
    assert_eq!(browser.jar, before);
    let read = browser.get("/read").await.text();
    assert_eq!(read, "alice views=6 note=alices theme=alices code=alices");
    let stored: String = redis.command(&["HGET", &key, "user"]);
    assert_eq!(stored, older, "nobody wrote it");
}
