//! A field is renamed in two steps, so that the first build finds what the second wrote.

use std::sync::Arc;

use rocket::http::Cookie;
use rocket::local::asynchronous::Client;
use rocket::{get, post, routes};
use rocket_typed_session::store::MemoryStore;
use rocket_typed_session::{Session, SessionData, SessionFairing, session};

/// Reads both names and writes the old one.
#[session(name = "visit", cookie = "visit")]
struct First {
    #[session(alias = "look")]
    theme: String,
    #[session(counter, alias = "hits")]
    clicks: u64,
}

/// Reads both names and writes the new one.
#[session(name = "visit", cookie = "visit")]
struct Second {
    #[session(alias = "theme")]
    look: String,
    #[session(counter, alias = "clicks")]
    hits: u64,
}

#[get("/")]
fn show_first(visit: Session<First>) -> String {
    format!("{} {}", visit.theme, visit.clicks)
}

#[post("/<theme>")]
fn set_first(mut visit: Session<First>, theme: String) {
    visit.theme = theme;
    visit.clicks += 1;
}

#[get("/")]
fn show_second(visit: Session<Second>) -> String {
    format!("{} {}", visit.look, visit.hits)
}

#[post("/<look>")]
fn set_second(mut visit: Session<Second>, look: String) {
    visit.look = look;
    visit.hits += 1;
}

async fn client<T: SessionData>(
    fairing: SessionFairing<T>,
    store: &Arc<MemoryStore>,
    routes: Vec<rocket::Route>,
) -> Client {
    let figment = rocket::Config::figment().merge(("log_level", "off"));
    let rocket = rocket::custom(figment).attach(fairing.store(Arc::clone(store)));
    Client::untracked(rocket.mount("/", routes)).await.unwrap()
}

#[tokio::test]
async fn both_builds_find_what_the_other_wrote() {
    let store = Arc::new(MemoryStore::new());
    let first = client(First::fairing(), &store, routes![show_first, set_first]).await;
    let second = client(Second::fairing(), &store, routes![show_second, set_second]).await;
    let response = first.post("/a").dispatch().await;
    let cookie: Cookie<'static> = response
        .cookies()
        .get("visit")
        .unwrap()
        .clone()
        .into_owned();
    drop(response);
    let see = async |expected: &str| {
        for client in [&first, &second] {
            let request = client.get("/").cookie(cookie.clone());
            let text = request.dispatch().await.into_string().await;
            assert_eq!(text.unwrap(), expected);
        }
    };
    see("a 1").await;
    let steps = [&second, &first, &second, &second, &first, &first];
    for (n, client) in steps.into_iter().enumerate() {
        let look = format!("/{n}");
        client.post(look).cookie(cookie.clone()).dispatch().await;
        see(&format!("{n} {}", n + 2)).await;
    }
}
