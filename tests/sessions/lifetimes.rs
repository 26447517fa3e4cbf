//! Lifetimes at their limits, and what a session says of its own.

use std::sync::Arc;
use std::time::Duration;

use rocket::{get, post, routes};
use rocket_typed_session::{Lifetime, Session, session};
use session_core::testing::ManualClock;

use crate::support::own::on_all_stores;

const MINUTE: Duration = Duration::from_secs(60);

#[session(idle = "30m", absolute = "2h", touch = "30m")]
struct Visit {
    #[session(identity)]
    user: Option<String>,
    views: u8,
}

#[get("/view")]
fn view(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    visit.views.to_string()
}

/// `None`: for ever.
#[post("/live?<millis>")]
fn live(mut visit: Session<Visit>, millis: Option<u64>) {
    let idle = millis.map_or(Duration::MAX, Duration::from_millis);
    visit.views += 1;
    visit.set_lifetime(Lifetime::new(idle, Duration::MAX));
}

#[post("/login")]
fn login(mut visit: Session<Visit>) -> String {
    visit.user = Some("alice".into());
    visit.expires_at().timestamp_millis().to_string()
}

#[get("/end")]
fn end(visit: Session<Visit>) -> String {
    visit.expires_at().timestamp_millis().to_string()
}

async fn on_both(test: impl AsyncFn(crate::support::http::Browser, &ManualClock)) {
    let clock = Arc::new(ManualClock::new());
    let fairing = || Visit::fairing().clock(Arc::clone(&clock));
    let routes = || routes![view, live, login, end];
    on_all_stores(
        |rocket| rocket.attach(fairing()).mount("/", routes()),
        async |server| test(server.browser(), &clock).await,
    )
    .await;
}

#[tokio::test]
async fn a_session_may_live_for_ever() {
    on_both(async |mut browser, clock| {
        assert_eq!(browser.post("/live", &[]).await.status, 200);
        clock.advance(100 * 365 * 24 * 60 * MINUTE);
        assert_eq!(browser.get("/end").await.status, 200);
        clock.advance(Duration::MAX / 2);
        assert_eq!(browser.get("/end").await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_fraction_of_a_second_of_idle_time_is_the_same_on_all_stores() {
    let seen = std::sync::Mutex::new(Vec::new());
    on_both(async |mut browser, clock| {
        browser.post("/live?millis=1900", &[]).await;
        clock.advance(Duration::from_millis(1500));
        let views = browser.get("/view").await.text();
        seen.lock().unwrap().push(views);
    })
    .await;
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn the_end_that_a_login_is_told_is_the_end_that_a_later_request_reads() {
    on_both(async |mut browser, clock| {
        browser.get("/view").await;
        for _ in 0..5 {
            clock.advance(20 * MINUTE);
            browser.get("/view").await;
        }
        // The absolute deadline is nearer than the idle one, until the login moves it.
        clock.advance(10 * MINUTE);
        let told = browser.post("/login", &[]).await.text();
        assert_eq!(told, browser.get("/end").await.text());
    })
    .await;
}
