//! Hundreds of requests load one session before any of them changes it: no change is lost, and a `once` value
//! is taken once. On both stores.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use rocket::futures::future::join_all;
use rocket::http::{Cookie, Status};
use rocket::local::asynchronous::Client;
use rocket::{State, get, post, routes};
use rocket_typed_session::{Error, Session, session};
use tokio::sync::Barrier;

use crate::support::redis::RedisServer;

#[session(cookie = "crowd")]
struct Crowd {
    #[session(counter)]
    views: u64,
    #[session(entries)]
    cart: BTreeMap<String, u32>,
    #[session(once)]
    notice: Option<String>,
}

/// Where a crowd's requests wait for each other.
#[derive(Default)]
struct Meeting(Mutex<Option<Arc<Barrier>>>);

impl Meeting {
    fn of(&self, requests: usize) {
        *self.0.lock().unwrap() = Some(Arc::new(Barrier::new(requests)));
    }

    async fn wait(&self) {
        let barrier = self.0.lock().unwrap().clone();
        if let Some(barrier) = barrier {
            barrier.wait().await;
        }
    }
}

#[get("/")]
fn show(crowd: Session<Crowd>) -> String {
    let items: u32 = crowd.cart.values().sum();
    format!(
        "views={} items={} of={items} notice={}",
        crowd.views,
        crowd.cart.len(),
        crowd.notice.is_some()
    )
}

#[post("/view")]
async fn view(mut crowd: Session<Crowd>, meeting: &State<Meeting>) {
    meeting.wait().await;
    crowd.views += 1;
}

#[post("/put/<item>")]
async fn put(mut crowd: Session<Crowd>, meeting: &State<Meeting>, item: String) {
    meeting.wait().await;
    crowd.cart.insert(item, 3);
}

#[post("/notice")]
async fn notice(mut crowd: Session<Crowd>, meeting: &State<Meeting>) {
    meeting.wait().await;
    crowd.notice = Some("for one".into());
}

#[post("/take")]
async fn take(mut crowd: Session<Crowd>, meeting: &State<Meeting>) -> Result<String, Error> {
    meeting.wait().await;
    let notice = Crowd::take_notice(&mut crowd).await?;
    Ok(notice.unwrap_or_default())
}

#[post("/take-and-fail")]
async fn take_and_fail(mut crowd: Session<Crowd>) -> Result<Status, Error> {
    crowd.views += 1;
    let notice = Crowd::take_notice(&mut crowd).await?;
    assert!(notice.is_some());
    Ok(Status::InternalServerError)
}

struct Host {
    client: Client,
    cookie: Cookie<'static>,
    _redis: Option<RedisServer>,
}

impl Host {
    async fn invite(redis: Option<RedisServer>) -> Self {
        let mut figment = rocket::Config::figment()
            .merge(("log_level", "off"))
            // For a busy machine.
            .merge(("sessions.crowd.timeout", "60s"));
        if let Some(redis) = &redis {
            figment = figment.merge(("databases.sessions.url", redis.url()));
        }
        let rocket = rocket::custom(figment)
            .manage(Meeting::default())
            .attach(Crowd::fairing())
            .mount("/", routes![show, view, put, notice, take, take_and_fail]);
        let client = Client::untracked(rocket).await.unwrap();
        let response = client.post("/view").dispatch().await;
        let cookie = response.cookies().get("crowd").unwrap().clone();
        let cookie = cookie.into_owned();
        drop(response);
        Self {
            client,
            cookie,
            _redis: redis,
        }
    }

    async fn post(&self, paths: impl IntoIterator<Item = String>) -> Vec<String> {
        let paths: Vec<String> = paths.into_iter().collect();
        let meeting: &Meeting = self.client.rocket().state().unwrap();
        meeting.of(paths.len());
        let requests = paths.into_iter().map(async |path: String| {
            let request = self.client.post(path).cookie(self.cookie.clone());
            let response = request.dispatch().await;
            assert_eq!(response.status(), Status::Ok);
            assert_eq!(response.cookies().iter().count(), 0);
            response.into_string().await.unwrap_or_default()
        });
        join_all(requests).await
    }

    async fn show(&self) -> String {
        let request = self.client.get("/").cookie(self.cookie.clone());
        request.dispatch().await.into_string().await.unwrap()
    }
}

async fn on_both_stores(test: impl AsyncFn(Host)) {
    eprintln!("in memory:");
    test(Host::invite(None).await).await;
    eprintln!("on Redis:");
    test(Host::invite(Some(RedisServer::start())).await).await;
}

#[tokio::test]
async fn two_thousand_views_are_two_thousand() {
    on_both_stores(async |host| {
        host.post((0..2_000).map(|_| "/view".into())).await;
        assert_eq!(host.show().await, "views=2001 items=0 of=0 notice=false");
    })
    .await;
}

#[tokio::test]
async fn five_hundred_items_are_all_in_the_cart() {
    on_both_stores(async |host| {
        host.post((0..500).map(|n| format!("/put/{n}"))).await;
        assert_eq!(host.show().await, "views=1 items=500 of=1500 notice=false");
    })
    .await;
}

#[tokio::test]
async fn of_two_hundred_who_take_a_value_one_obtains_it() {
    on_both_stores(async |host| {
        for _ in 0..5 {
            host.post(["/notice".into()]).await;
            assert!(host.show().await.ends_with("notice=true"));
            let mut taken = host.post((0..200).map(|_| "/take".into())).await;
            taken.retain(|text| !text.is_empty());
            assert_eq!(taken, ["for one"]);
            assert!(host.show().await.ends_with("notice=false"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_mixed_crowd_loses_nothing() {
    on_both_stores(async |host| {
        host.post(["/notice".into()]).await;
        let paths = (0..600).map(|n| match n % 3 {
            0 => "/view".into(),
            1 => format!("/put/{n}"),
            _ => "/take".into(),
        });
        let mut taken = host.post(paths).await;
        taken.retain(|text| !text.is_empty());
        assert_eq!(taken, ["for one"]);
        assert_eq!(host.show().await, "views=201 items=200 of=600 notice=false");
    })
    .await;
}

#[tokio::test]
async fn what_a_request_took_that_then_failed_is_taken() {
    on_both_stores(async |host| {
        host.post(["/notice".into()]).await;
        let request = host.client.post("/take-and-fail");
        let response = request.cookie(host.cookie.clone()).dispatch().await;
        assert_eq!(response.status(), Status::InternalServerError);
        assert_eq!(host.show().await, "views=1 items=0 of=0 notice=false");
    })
    .await;
}
