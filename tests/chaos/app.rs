//! The application, which runs as three processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rocket::error::ErrorKind;
use rocket::fairing::AdHoc;
use rocket::figment::Figment;
use rocket::http::Status;
use rocket::response::status::Custom;
use rocket::serde::json::Json;
use rocket::{State, get, post, routes};
use rocket_typed_session::{Error, Session, TransactError, session};
use serde::{Deserialize, Serialize};

use super::options::Serve;

pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);

/// How many seconds Rocket waits after SIGTERM for running requests.
const GRACE: u32 = 2;

pub(crate) const HASTY: &str = "Rocket did not wait for its requests";

pub(crate) const ACCOUNT: &str = "requests begun and answered:";

#[session(indexed)]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(identity)]
    user: Option<String>,
    /// Changed only in transactions, together with `paid`.
    bought: u64,
    paid: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Page {
    pub(crate) id: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) views: u64,
    pub(crate) bought: u64,
    pub(crate) paid: u64,
}

#[derive(Default)]
struct Account {
    begun: AtomicUsize,
    answered: AtomicUsize,
    waiting: AtomicUsize,
}

fn page(visit: &Session<Visit>) -> Json<Page> {
    Json(Page {
        id: visit.id().map(|id| id.to_string()),
        user: visit.user.clone(),
        views: visit.views,
        bought: visit.bought,
        paid: visit.paid,
    })
}

#[get("/read")]
fn read(visit: Session<Visit>) -> Json<Page> {
    page(&visit)
}

#[post("/count")]
fn count(mut visit: Session<Visit>) -> Json<Page> {
    visit.views += 1;
    page(&visit)
}

#[post("/slow")]
async fn slow(mut visit: Session<Visit>, account: &State<Arc<Account>>) -> Json<Page> {
    account.waiting.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(400)).await;
    account.waiting.fetch_sub(1, Ordering::SeqCst);
    visit.views += 1;
    page(&visit)
}

#[get("/waiting")]
fn waiting(account: &State<Arc<Account>>) -> String {
    account.waiting.load(Ordering::SeqCst).to_string()
}

/// A conflict is a 409: it certainly stores nothing.
#[post("/buy")]
async fn buy(mut visit: Session<Visit>) -> Result<Json<Page>, Result<Error, Custom<()>>> {
    let bought = visit.transact(|visit| {
        visit.bought += 1;
        visit.paid += 1;
        Ok::<_, ()>(())
    });
    match bought.await {
        Ok(()) => Ok(page(&visit)),
        Err(TransactError::Failed(error)) => Err(Ok(error)),
        Err(_) => Err(Err(Custom(Status::Conflict, ()))),
    }
}

#[post("/login/<user>")]
fn login(mut visit: Session<Visit>, user: &str) {
    visit.log_in(user.to_owned());
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) {
    visit.destroy();
}

pub(crate) async fn run(serve: &Serve) {
    let account = Arc::new(Account::default());
    let (begun, answered) = (Arc::clone(&account), Arc::clone(&account));
    let rocket = rocket::custom(config(serve))
        .attach(AdHoc::on_request("Begun", move |_, _| {
            begun.begun.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {})
        }))
        .attach(Visit::fairing())
        // Counts after the commit.
        .attach(AdHoc::on_response("Answered", move |_, _| {
            answered.answered.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {})
        }))
        .manage(Arc::clone(&account))
        .mount("/", routes![read, count, slow, waiting, buy, login, logout]);
    if let Err(error) = rocket.launch().await {
        println!("{HASTY}");
        finish(&error).await;
    }
    let [begun, answered] =
        [&account.begun, &account.answered].map(|number| number.load(Ordering::SeqCst));
    println!("{ACCOUNT} {begun} {answered}");
}

/// Waits for running requests. Rocket 0.5.2 does so unless its accept loop sees SIGTERM before
/// `Rocket::http_server` does; then `launch` returns this error at once.
async fn finish(error: &rocket::Error) {
    let ErrorKind::Shutdown(rocket, None) = error.kind() else {
        return;
    };
    let began = Instant::now();
    // Each request holds a reference.
    while Arc::strong_count(rocket) > 1 && began.elapsed() < Duration::from_secs(GRACE.into()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn config(serve: &Serve) -> Figment {
    let database = |key: &str| format!("databases.sessions.{key}");
    let config = rocket::Config::figment()
        .merge(("address", "127.0.0.1"))
        .merge(("port", 0))
        .merge(("cli_colors", false))
        .merge(("shutdown.grace", GRACE))
        .merge(("log_level", "critical"))
        .merge(("sessions.timeout", format!("{}s", TIMEOUT.as_secs())))
        .merge((database("wait_replicas"), serve.wait_replicas));
    match &*serve.kind {
        "node" => config.merge((database("url"), serve.urls.join(","))),
        "cluster" => config.merge((database("urls"), &serve.urls)),
        _ => config
            .merge((
                database("sentinel.master"),
                super::support::sentinel::MASTER,
            ))
            .merge((database("sentinel.urls"), &serve.urls)),
    }
}
