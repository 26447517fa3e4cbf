//! Commits that fail at each call: what the browser is told, and what is stored.

use std::sync::Arc;

use rocket::http::Status;
use rocket::{Build, Catcher, Request, Rocket, catch, catchers, get, post, routes};
use rocket_typed_session::{Error, Session, session};
use session_core::testing::{FaultyStore, Verb};

use crate::support::http::{Browser, Server};
use crate::support::own::{REFUSED, UNHEARD, faulty, quiet};

#[session(cookie = "visit")]
struct Visit {
    #[session(identity)]
    user: Option<String>,
    note: String,
    #[session(counter)]
    clicks: u64,
}

#[session(cookie = "basket")]
struct Basket {
    items: u8,
}

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    let user = visit.user.as_deref().unwrap_or("-");
    format!("user={user} note={} clicks={}", visit.note, visit.clicks)
}

#[post("/note")]
fn note(mut visit: Session<Visit>) {
    visit.note = "mine".into();
}

#[post("/login")]
fn login(mut visit: Session<Visit>) {
    visit.user = Some("alice".into());
}

#[post("/login-and-fill")]
fn login_and_fill(mut visit: Session<Visit>, mut basket: Session<Basket>) {
    visit.user = Some("alice".into());
    basket.items += 1;
}

#[post("/login-and-save")]
async fn login_and_save(mut visit: Session<Visit>) -> Result<(), Error> {
    visit.user = Some("eve".into());
    visit.note = "evil".into();
    visit.save().await
}

#[post("/logout-unheard")]
async fn logout_unheard(mut visit: Session<Visit>) {
    visit.destroy();
    let _ = visit.save().await;
}

#[post("/click-unheard")]
async fn click_unheard(mut visit: Session<Visit>) {
    visit.clicks += 1;
    let _ = visit.save().await;
}

#[post("/click-by-transaction")]
async fn click_by_transaction(mut visit: Session<Visit>) {
    visit.clicks += 1;
    let ten_more = |visit: &mut Visit| -> Result<(), Error> {
        visit.clicks += 10;
        Ok(())
    };
    let _ = visit.transact(ten_more).await;
}

fn rocket(store: &Arc<FaultyStore>) -> Rocket<Build> {
    let routes = routes![
        read,
        note,
        login,
        login_and_save,
        logout_unheard,
        click_unheard,
        click_by_transaction
    ];
    let fairing = Visit::fairing().store(Arc::clone(store));
    quiet().attach(fairing).mount("/", routes)
}

async fn with_note(server: &Server) -> Browser {
    let mut browser = server.browser();
    browser.post("/note", &[]).await;
    browser
}

#[tokio::test]
async fn the_cookie_of_one_type_survives_the_failure_of_another() {
    let (visits, baskets) = (faulty(), faulty());
    let rocket = rocket(&visits)
        .attach(Basket::fairing().store(Arc::clone(&baskets)))
        .mount("/", routes![login_and_fill]);
    let server = Server::launch(rocket).await;
    let mut browser = with_note(&server).await;
    let before = browser.jar.clone();
    baskets.on(Verb::Create, 1, REFUSED);
    let response = browser.post("/login-and-fill", &[]).await;
    assert_eq!(response.status, 503);
    assert_eq!(response.set_cookies().len(), 1, "{response:?}");
    assert_ne!(browser.jar, before);
    let read = browser.get("/read").await.text();
    assert_eq!(read, "user=alice note=mine clicks=0");
}

#[tokio::test]
async fn the_data_of_a_failed_request_is_not_stored_by_a_second_try() {
    let store = faulty();
    let server = Server::launch(rocket(&store)).await;
    let mut browser = with_note(&server).await;
    store.on(Verb::Update, 1, REFUSED);
    assert_eq!(browser.post("/login-and-save", &[]).await.status, 503);
    let read = browser.get("/read").await.text();
    assert_eq!(read, "user=- note=mine clicks=0");
}

#[tokio::test]
async fn a_save_whose_answer_was_lost_counts_once() {
    let store = faulty();
    let server = Server::launch(rocket(&store)).await;
    let mut browser = server.browser();
    browser.post("/click-unheard", &[]).await;
    store.on(Verb::Update, 1, UNHEARD);
    assert_eq!(browser.post("/click-unheard", &[]).await.status, 200);
    assert!(browser.get("/read").await.text().ends_with("clicks=2"));
}

#[tokio::test]
async fn a_transaction_whose_answer_was_lost_counts_once() {
    let store = faulty();
    let server = Server::launch(rocket(&store)).await;
    let mut browser = server.browser();
    browser.post("/click-unheard", &[]).await;
    store.on(Verb::Update, 1, UNHEARD);
    let response = browser.post("/click-by-transaction", &[]).await;
    assert_eq!(response.status, 200);
    assert!(browser.get("/read").await.text().ends_with("clicks=12"));
}

#[tokio::test]
async fn a_refused_logout_does_not_pass_for_done_though_its_handler_ignores_it() {
    let server = Server::launch(rocket(&faulty())).await;
    let mut browser = with_note(&server).await;
    let mut before_login = browser.clone();
    browser.post("/login", &[]).await;
    let response = before_login.post("/logout-unheard", &[]).await;
    assert_eq!((response.status, response.set_cookies().len()), (503, 0));
    assert!(browser.get("/read").await.text().starts_with("user=alice"));
}

#[catch(503)]
async fn greet(request: &Request<'_>) -> String {
    let visit = request.guard::<Session<Visit>>().await.succeeded();
    let user = visit.and_then(|visit| visit.user.clone());
    user.unwrap_or("nobody".into())
}

#[tokio::test]
async fn the_catcher_of_a_login_that_failed_sees_nobody_logged_in() {
    let store = faulty();
    let server = Server::launch(rocket(&store).register("/", catchers![greet])).await;
    let mut browser = with_note(&server).await;
    store.on(Verb::Update, 1, REFUSED);
    let response = browser.post("/login", &[]).await;
    assert_eq!((response.status, &*response.text()), (503, "nobody"));
    assert!(response.set_cookies().is_empty());
}

fn panics<'r>(_: Status, _: &'r Request<'_>) -> rocket::catcher::BoxFuture<'r> {
    panic!("before it gives its future")
}

#[tokio::test]
async fn a_catcher_that_panics_at_once_is_answered_for() {
    let store = faulty();
    let server = Server::launch(rocket(&store).register("/", [Catcher::new(503, panics)])).await;
    let mut browser = with_note(&server).await;
    store.on(Verb::Update, 1, REFUSED);
    assert!(browser.post("/login", &[]).await.status >= 500);
    assert_eq!(browser.post("/login", &[]).await.status, 200);
}

#[post("/store-note")]
fn store_note(mut visit: Session<Visit>) {
    visit.note = "mine".into();
}

#[post("/unavailable")]
fn unavailable() -> Status {
    Status::ServiceUnavailable
}

#[catch(default)]
fn any() -> &'static str {
    "any"
}

#[catch(503)]
fn explicit() -> &'static str {
    "explicit"
}

#[catch(500)]
fn other() -> &'static str {
    "other"
}

#[tokio::test]
async fn the_catcher_of_a_failed_commit_is_the_one_that_rocket_would_call() {
    let store = faulty();
    let mut rocket = rocket(&store)
        .register("/", catchers![explicit])
        .register("/any", catchers![any])
        .register("/any/both", catchers![any, explicit])
        .register("/any/other", catchers![other])
        .register("/anything", catchers![any, other]);
    let places = [
        ("/", "explicit"),
        ("/any", "any"),
        ("/any/both", "explicit"),
        ("/any/other", "any"),
        ("/any/both/deeper", "explicit"),
        ("/anything", "any"),
        ("/an", "explicit"),
    ];
    for (base, _) in places {
        rocket = rocket.mount(base, routes![unavailable, store_note]);
    }
    let server = Server::launch(rocket).await;
    for (base, expected) in places {
        let base = base.trim_end_matches('/');
        let by_rocket = server
            .browser()
            .post(&format!("{base}/unavailable"), &[])
            .await;
        store.on(Verb::Create, 1, REFUSED);
        let by_commit = server
            .browser()
            .post(&format!("{base}/store-note"), &[])
            .await;
        assert_eq!((by_rocket.status, by_commit.status), (503, 503));
        assert_eq!(by_rocket.text(), expected, "{base}");
        assert_eq!(by_commit.text(), expected, "{base}");
    }
}

#[post("/note-and-panic")]
fn note_and_panic(mut first: Session<Visit>, _second: Session<Visit>) {
    first.note = "half".into();
    drop(first);
    panic!("as asked");
}

#[catch(500)]
fn soothe() -> (Status, &'static str) {
    (Status::Ok, "all is well")
}

#[tokio::test]
async fn a_panic_stores_nothing_though_its_catcher_answers_200() {
    let store = faulty();
    let rocket = rocket(&store).mount("/", routes![note_and_panic]);
    let server = Server::launch(rocket.register("/", catchers![soothe])).await;
    let mut browser = with_note(&server).await;
    let response = browser.post("/note-and-panic", &[]).await;
    assert_eq!((response.status, &*response.text()), (200, "all is well"));
    let read = browser.get("/read").await.text();
    assert_eq!(read, "user=- note=mine clicks=0");
    let mut stranger = server.browser();
    let response = stranger.post("/note-and-panic", &[]).await;
    assert_eq!((response.status, response.set_cookies().len()), (200, 0));
}
