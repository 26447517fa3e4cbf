//! What stops a launch, and how an application learns why.

use rocket::error::ErrorKind;
use rocket::local::asynchronous::Client;
use rocket::request::{FromRequest, Outcome};
use rocket::{Build, Request, Rocket, get, routes};
use rocket_db_pools::Database;
use rocket_typed_session::{Session, session};

use crate::app::{Visit, rocket};
use crate::support::own::{configured, quiet};
use crate::support::redis::RedisServer;

#[session(cookie = "visit")]
struct Other {
    x: u8,
}

#[session(name = "visit", cookie = "namesake")]
struct Namesake {
    x: u8,
}

/// A guard that uses a session where no sentinel sees it.
struct User;

#[rocket::async_trait]
impl<'r> FromRequest<'r> for User {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        match request.guard::<Session<Visit>>().await {
            Outcome::Success(_) => Outcome::Success(Self),
            Outcome::Error((status, _)) => Outcome::Error((status, ())),
            Outcome::Forward(status) => Outcome::Forward(status),
        }
    }
}

#[get("/user")]
fn user(_user: User) {}

#[get("/optional")]
fn optional(_visit: Option<Session<Visit>>) {}

async fn failure(rocket: Rocket<Build>) -> ErrorKind {
    let error = Client::untracked(rocket).await.unwrap_err();
    let text = format!("{:?}", error.kind());
    match text.split(['(', ' ']).next() {
        Some("SentinelAborts") => ErrorKind::SentinelAborts(Vec::new()),
        Some("FailedFairings") => ErrorKind::FailedFairings(Vec::new()),
        _ => panic!("{text}"),
    }
}

#[tokio::test]
async fn a_missing_fairing_aborts() {
    for rocket in [rocket(), quiet().mount("/", routes![optional])] {
        assert!(matches!(
            failure(rocket).await,
            ErrorKind::SentinelAborts(_)
        ));
    }
}

#[tokio::test]
async fn a_missing_fairing_that_no_sentinel_sees_is_a_500() {
    let client = Client::untracked(quiet().mount("/", routes![user]))
        .await
        .unwrap();
    let response = client.get("/user").dispatch().await;
    assert_eq!(response.status().code, 500);
}

#[tokio::test]
async fn bad_configuration_fails() {
    for (key, value) in [
        ("sessions.visit.idle", "soon"),
        ("sessions.visit.idel", "30m"),
        ("sessions.visit.idle", "13h"),
        ("sessions.visit.cookie", "a b"),
        ("sessions.visit.timeout", "500000000000years"),
        ("sessions.visit.near", "2min"),
        ("databases.sessions.url", "http://127.0.0.1"),
        ("databases.sessions.uri", "redis://127.0.0.1"),
        ("databases.session.url", "redis://127.0.0.1"),
    ] {
        let figment = rocket().figment().clone().merge((key, value));
        let rocket = rocket().configure(figment).attach(Visit::fairing());
        assert!(
            matches!(failure(rocket).await, ErrorKind::FailedFairings(_)),
            "{key}"
        );
    }
}

#[tokio::test]
async fn two_types_with_one_name_or_one_cookie_and_one_type_twice_fail() {
    let twice = rocket().attach(Visit::fairing()).attach(Visit::fairing());
    assert!(matches!(failure(twice).await, ErrorKind::FailedFairings(_)));
    let same_name = rocket()
        .attach(Visit::fairing())
        .attach(Namesake::fairing());
    assert!(matches!(
        failure(same_name).await,
        ErrorKind::FailedFairings(_)
    ));
    let same_cookie = rocket().attach(Visit::fairing()).attach(Other::fairing());
    assert!(matches!(
        failure(same_cookie).await,
        ErrorKind::FailedFairings(_)
    ));
    let figment = rocket()
        .figment()
        .clone()
        .merge(("sessions.other.cookie", "other"));
    let apart = rocket()
        .configure(figment)
        .attach(Visit::fairing())
        .attach(Other::fairing());
    assert!(Client::untracked(apart).await.is_ok());
}

#[derive(Database)]
#[database("main")]
struct Db(rocket_typed_session::RedisPool);

#[tokio::test]
async fn a_database_that_is_attached_later_fails() {
    let figment = rocket()
        .figment()
        .clone()
        .merge(("databases.main.url", "redis://127.0.0.1:1"));
    let rocket = rocket()
        .configure(figment)
        .attach(Visit::fairing().database::<Db>())
        .attach(Db::init());
    assert!(matches!(
        failure(rocket).await,
        ErrorKind::FailedFairings(_)
    ));
}

/// Sessions use a connection of their own.
#[tokio::test]
async fn a_pool_of_one_connection_is_enough() {
    let redis = RedisServer::start();
    let rocket = configured(quiet(), "databases.main.url", &redis.url());
    let figment = rocket.figment().clone();
    let rocket = rocket
        .configure(figment.merge(("databases.main.max_connections", 1)))
        .attach(Db::init())
        .attach(Visit::fairing().database::<Db>());
    let client = Client::untracked(rocket).await.unwrap();
    let db = Db::fetch(client.rocket()).unwrap();
    assert!(rocket_db_pools::Pool::get(&**db).await.is_ok());
}
