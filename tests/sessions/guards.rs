//! Guards in one request: of several types, optional, at once, and after the end.

use std::sync::Arc;

use rocket::request::{FromRequest, Outcome};
use rocket::{Request, get, post, routes};
use rocket_typed_session::store::MemoryStore;
use rocket_typed_session::{Session, session};
use session_core::testing::{Moment, Verb};

use crate::support::http::{Connection, Request as Sent, Server};
use crate::support::own::{REFUSED, faulty, on_all_stores, quiet};

#[session(cookie = "visit")]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(identity)]
    user: Option<String>,
}

#[session(cookie = "basket")]
struct Basket {
    items: u8,
}

#[get("/view")]
fn view(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    visit.views.to_string()
}

#[post("/login")]
fn login(mut visit: Session<Visit>) {
    visit.user = Some("alice".into());
}

#[get("/both")]
fn both(mut visit: Session<Visit>, mut basket: Session<Basket>) -> String {
    visit.views += 1;
    basket.items += 10;
    format!("{} {}", visit.views, basket.items)
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>, basket: Session<Basket>) -> String {
    visit.destroy();
    basket.items.to_string()
}

#[post("/logout-save-and-go-on")]
async fn logout_save_and_go_on(mut visit: Session<Visit>) {
    visit.destroy();
    visit.save().await.unwrap();
    visit.views += 1;
}

#[get("/optional")]
fn optional(visit: Option<Session<Visit>>) -> String {
    visit.map_or("down".into(), |visit| visit.views.to_string())
}

struct AtOnce(u64);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for AtOnce {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        let guard = || request.guard::<Session<Visit>>();
        let (one, two, three) = tokio::join!(guard(), guard(), guard());
        let views = [one, two, three].map(|visit| visit.succeeded().unwrap().views);
        Outcome::Success(Self(views.iter().sum()))
    }
}

#[get("/at-once")]
fn at_once(sum: AtOnce) -> String {
    sum.0.to_string()
}

#[tokio::test]
async fn each_type_has_a_session_and_a_cookie_of_its_own() {
    on_all_stores(
        |rocket| {
            let rocket = rocket.attach(Visit::fairing()).attach(Basket::fairing());
            rocket.mount("/", routes![view, both, logout])
        },
        async |server| {
            let mut browser = server.browser();
            assert_eq!(browser.get("/both").await.set_cookies().len(), 2);
            let [visit, basket] = ["visit", "basket"].map(|name| browser.jar.get(name));
            assert_ne!(visit.unwrap(), basket.unwrap());
            assert_eq!(browser.get("/view").await.text(), "2");
            assert_eq!(browser.get("/both").await.text(), "3 20");
            let response = browser.post("/logout", &[]).await;
            assert_eq!(response.text(), "20");
            assert_eq!(response.set_cookies().len(), 1);
            assert_eq!(browser.jar.get("visit"), None);
            assert_eq!(browser.get("/both").await.text(), "1 30");
            // The token of one type opens no session of another.
            let mut liar = server.browser();
            let token = browser.jar.get("basket").unwrap();
            liar.jar.set("visit", token);
            assert_eq!(liar.get("/view").await.text(), "1");
        },
    )
    .await;
}

#[tokio::test]
async fn a_saved_end_is_the_end_for_its_request() {
    on_all_stores(
        |rocket| {
            let rocket = rocket.attach(Visit::fairing());
            rocket.mount("/", routes![view, logout_save_and_go_on])
        },
        async |server| {
            let mut visitor = server.browser();
            visitor.get("/view").await;
            for mut browser in [server.browser(), visitor] {
                browser.post("/logout-save-and-go-on", &[]).await;
                assert!(browser.jar.is_empty());
                assert_eq!(browser.get("/view").await.text(), "1");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_logout_with_the_cookies_of_two_sessions_ends_both() {
    on_all_stores(
        |rocket| {
            let rocket = rocket.attach(Visit::fairing()).attach(Basket::fairing());
            rocket.mount("/", routes![view, login, logout])
        },
        async |server| {
            let (mut alice, mut planted) = (server.browser(), server.browser());
            alice.post("/login", &[]).await;
            alice.get("/view").await;
            planted.get("/view").await;
            let [one, other] = [&alice, &planted].map(|browser| browser.jar.header().unwrap());
            let logout = Sent::post("/logout", &[]).header("Cookie", format!("{one}; {other}"));
            let mut connection = Connection::open(alice.address()).await.unwrap();
            let response = connection.send(&logout).await;
            assert_eq!(response.status, 200);
            assert!(response.set_cookies()[0].contains("Max-Age=0"));
            assert_eq!(alice.get("/view").await.text(), "1");
            assert_eq!(planted.get("/view").await.text(), "1");
        },
    )
    .await;
}

#[tokio::test]
async fn an_optional_session_is_none_only_while_the_store_is_down() {
    let store = faulty();
    let fairing = Visit::fairing().store(Arc::clone(&store));
    let routes = routes![view, optional];
    let server = Server::launch(quiet().attach(fairing).mount("/", routes)).await;
    let mut browser = server.browser();
    assert_eq!(browser.get("/optional").await.text(), "0");
    browser.get("/view").await;
    store.on(Verb::Load, 1, REFUSED);
    assert_eq!(browser.get("/optional").await.text(), "down");
    assert_eq!(browser.get("/optional").await.text(), "1");
}

#[tokio::test]
async fn guards_at_once_read_the_session_once() {
    let store = faulty();
    let fairing = Visit::fairing().store(Arc::clone(&store));
    let routes = routes![view, at_once];
    let server = Server::launch(quiet().attach(fairing).mount("/", routes)).await;
    let mut browser = server.browser();
    browser.get("/view").await;
    let before = store.calls().len();
    // All guards ask before the store answers.
    let pause = store.pause(Verb::Load, 1, Moment::Before);
    let request = tokio::spawn(async move { browser.get("/at-once").await.text() });
    pause.reached().await;
    pause.resume();
    assert_eq!(request.await.unwrap(), "3");
    let calls = store.calls().split_off(before);
    let loads = calls.iter().filter(|call| call.verb == Verb::Load);
    assert_eq!(loads.count(), 1);
}

#[tokio::test]
async fn the_store_that_is_given_is_the_one_that_is_used() {
    let store = Arc::new(MemoryStore::new());
    let fairing = Visit::fairing().store(Arc::clone(&store));
    let routes = routes![view, login];
    let server = Server::launch(quiet().attach(fairing).mount("/", routes)).await;
    let mut browser = server.browser();
    assert!(store.is_empty());
    browser.get("/view").await;
    browser.post("/login", &[]).await;
    assert_eq!(store.len(), 1);
    server.browser().get("/view").await;
    assert_eq!(store.len(), 2);
}
