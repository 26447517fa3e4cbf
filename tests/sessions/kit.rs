//! The test kit with an async client; the documentation of `testing` shows the blocking one.

use std::time::Duration;

use rocket::local::asynchronous::Client;
use rocket::{get, routes};
use rocket_typed_session::testing::TestKit;
use rocket_typed_session::{Session, session};

use crate::support::own::quiet;

#[session(cookie = "visit", idle = "1h")]
struct Visit {
    #[session(ttl = "5m")]
    code: Option<u32>,
    #[session(counter)]
    views: u64,
}

#[get("/")]
fn view(mut visit: Session<Visit>) -> String {
    visit.views += 1;
    format!("{:?}", visit.code)
}

#[tokio::test]
async fn what_is_seeded_is_there_until_its_own_deadline_and_what_is_left_is_read() {
    let kit = TestKit::new();
    let rocket = quiet().attach(Visit::fairing()).mount("/", routes![view]);
    let client = Client::untracked(kit.install(rocket)).await.unwrap();
    let visit = Visit {
        code: Some(7),
        views: 1,
    };
    let cookie = kit.seed(client.rocket(), visit).await;
    for (elapsed, expected) in [(0, "Some(7)"), (299, "Some(7)"), (1, "None")] {
        kit.advance(Duration::from_secs(elapsed));
        let response = client.get("/").cookie(cookie.clone()).dispatch().await;
        assert_eq!(response.into_string().await.unwrap(), expected);
    }
    let visit: Visit = kit.read(client.rocket(), &cookie).await.unwrap();
    assert_eq!((visit.code, visit.views), (None, 4));
    kit.break_store();
    let response = client.get("/").cookie(cookie.clone()).dispatch().await;
    assert_eq!(response.status().code, 503);
    kit.mend_store();
    let response = client.get("/").dispatch().await;
    let visit: Visit = kit.read(client.rocket(), &response).await.unwrap();
    assert_eq!(visit.views, 1);
}

/// Like processes that share a store. Each tracked client is one browser.
#[tokio::test]
async fn rockets_with_one_kit_share_its_sessions() {
    let kit = TestKit::new();
    let rocket = || quiet().attach(Visit::fairing()).mount("/", routes![view]);
    let first = Client::tracked(kit.install(rocket())).await.unwrap();
    let second = Client::tracked(kit.install(rocket())).await.unwrap();
    let response = first.get("/").dispatch().await;
    let visit: Visit = kit.read(second.rocket(), &response).await.unwrap();
    assert_eq!(visit.views, 1);
}

#[session(cookie = "admin", parent = Visit)]
struct Admin {
    acts: u32,
}

#[get("/admin")]
fn act(mut admin: Session<Admin>) -> String {
    admin.acts += 1;
    admin.acts.to_string()
}

#[tokio::test]
async fn what_ends_with_another_session_is_seeded_beside_it() {
    let kit = TestKit::new();
    let fairings = quiet().attach(Visit::fairing()).attach(Admin::fairing());
    let client = Client::untracked(kit.install(fairings.mount("/", routes![act]))).await;
    let client = client.unwrap();
    let views = 1;
    let code = None;
    let visit = kit.seed(client.rocket(), Visit { code, views }).await;
    let acts = 7;
    let admin = kit
        .seed_beside(client.rocket(), &visit, Admin { acts })
        .await;
    let cookies = [visit, admin.clone()];
    let response = client
        .get("/admin")
        .cookies(cookies.clone())
        .dispatch()
        .await;
    assert_eq!(response.into_string().await.unwrap(), "8");
    let read: Option<Admin> = kit.read(client.rocket(), &cookies).await;
    assert_eq!(read.unwrap().acts, 8);
    let alone: Option<Admin> = kit.read(client.rocket(), &admin).await;
    assert!(alone.is_none());
}
