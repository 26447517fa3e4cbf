//! A request that is dropped at any point leaves the session as it was or as it would have become;
//! a `save` that is dropped, or whose answer is lost, counts once.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use rocket::http::{Cookie, Status};
use rocket::local::asynchronous::{Client, LocalResponse};
use rocket::{State, get, routes};
use rocket_typed_session::Session;
use session_core::store::memory::MemoryStore;
use session_core::store::{Key, Store, Wanted};
use session_core::token::Token;

use crate::app::{self, Visit};
use crate::support::lossy::Lossy;

/// Polls a future so many times, and drops it then. `None`: it had not ended.
async fn poll_times<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        for _ in 0..times {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
        }
        Poll::Ready(None)
    })
    .await
}

/// Does `what` with a `save` or a transaction that is dropped after so many polls, or, where `lost`
/// says so, whose answer is lost. Then it goes on and counts once more.
#[get("/<what>?<polls>&<lost>")]
async fn interrupted(
    mut visit: Session<Visit>,
    store: &State<Arc<Lossy>>,
    what: &str,
    polls: usize,
    lost: usize,
) -> &'static str {
    visit.views += 1;
    store.lose(lost);
    let ended = match what {
        "login" => {
            visit.user = Some("alice".into());
            poll_times(visit.save(), polls).await.is_some()
        }
        "transact" => {
            let transaction = visit.transact(|visit| {
                visit.note.push('t');
                Ok::<_, ()>(())
            });
            poll_times(transaction, polls).await.is_some()
        }
        "twice" => {
            poll_times(visit.save(), polls).await;
            visit.views += 10;
            visit.save().await.is_ok()
        }
        "reload" => {
            poll_times(visit.save(), polls).await;
            visit.reload().await.is_ok()
        }
        _ => poll_times(visit.save(), polls).await.is_some(),
    };
    visit.views += 100;
    if what == "destroy" {
        visit.destroy();
    }
    if ended { "ended" } else { "dropped" }
}

struct Site {
    client: Client,
    store: Arc<Lossy>,
}

impl Site {
    async fn launch() -> Self {
        let store = Arc::new(Lossy::new(MemoryStore::new()));
        let fairing = Visit::fairing().store(Arc::clone(&store));
        let rocket = app::rocket().attach(fairing).manage(Arc::clone(&store));
        let rocket = rocket.mount("/interrupted", routes![interrupted]);
        let client = Client::untracked(rocket).await.unwrap();
        Self { client, store }
    }

    /// A new session with one view: its token.
    async fn visitor(&self) -> Token {
        let response = self.client.get("/view").dispatch().await;
        set_token(&response).unwrap()
    }

    async fn get(&self, path: &str, token: &Token) -> LocalResponse<'_> {
        let cookie = Cookie::new("visit", token.expose());
        let method = match path.strip_prefix("POST ") {
            Some(path) => self.client.post(path.to_owned()),
            None => self.client.get(path.to_owned()),
        };
        method.cookie(cookie).dispatch().await
    }

    async fn read(&self, token: &Token) -> String {
        self.get("/read", token).await.into_string().await.unwrap()
    }

    /// The epoch and the data that are stored.
    async fn stored(&self, token: &Token) -> Option<(u32, String)> {
        let key = Key::new("visit", token.id());
        let record = self.store.load(key, &Wanted::All).await.unwrap()?;
        let fields = record.fields.iter();
        let fields =
            fields.map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)));
        Some((record.metadata.epoch, fields.collect::<Vec<_>>().join(" ")))
    }
}

fn set_token(response: &LocalResponse<'_>) -> Option<Token> {
    Token::parse(response.cookies().get("visit")?.value().as_bytes())
}

#[tokio::test]
async fn a_dropped_request_leaves_the_session_as_it_was_or_as_it_would_have_become() {
    let site = Site::launch().await;
    for path in [
        "/view",
        "/note/x",
        "/save",
        "/two",
        "POST /login/alice",
        "POST /rotate",
        "POST /logout",
        "POST /remember/alice",
    ] {
        let control = site.visitor().await;
        let old = site.stored(&control).await;
        site.get(path, &control).await;
        let new = site.stored(&control).await;
        for polls in 0.. {
            let token = site.visitor().await;
            let response = poll_times(site.get(path, &token), polls).await;
            let is_done = response.is_some();
            drop(response);
            let stored = site.stored(&token).await;
            let saved = path == "/save" && stored == Some((0, "views=2".into()));
            assert!(
                stored == old || stored == new || saved,
                "{path} {polls}: {stored:?}"
            );
            assert!(!is_done || stored == new, "{path}");
            let response = site.get("/view", &token).await;
            assert_eq!(response.status(), Status::Ok, "{path} {polls}");
            if stored == old {
                let read = site.read(&token).await;
                assert!(read.starts_with("views=2 user=-"), "{path} {polls}: {read}");
            }
            if is_done {
                assert!(polls > 2, "{path}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn what_a_dropped_save_said_counts_once() {
    let site = Site::launch().await;
    for (what, expected) in [
        ("save", "views=102 user=- theme=Light note="),
        ("login", "views=102 user=alice theme=Light note="),
        ("twice", "views=112 user=- theme=Light note="),
        ("reload", "views=102 user=- theme=Light note="),
        ("destroy", "views=0 user=- theme=Light note="),
        ("transact", "views=102 user=- theme=Light note="),
    ] {
        // What is not even begun to be saved is forgotten by a `reload`.
        for polls in usize::from(what == "reload").. {
            let token = site.visitor().await;
            let path = format!("/interrupted/{what}?polls={polls}&lost=0");
            let response = site.get(&path, &token).await;
            assert_eq!(response.status(), Status::Ok, "{path}");
            let token = set_token(&response).unwrap_or(token);
            let read = site.read(&token).await;
            // What a transaction does is done or not; what came before it is.
            assert_eq!(read.trim_end_matches('t'), expected, "{path}");
            assert!(!read.ends_with("tt"), "{path}");
            let ended = response.into_string().await.unwrap() == "ended";
            if ended && polls > 9 {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_save_whose_answer_was_lost_counts_once() {
    let site = Site::launch().await;
    for (what, expected) in [
        ("save", "views=102 user=- theme=Light note="),
        ("login", "views=102 user=alice theme=Light note="),
        ("twice", "views=112 user=- theme=Light note="),
        ("reload", "views=102 user=- theme=Light note="),
        ("destroy", "views=0 user=- theme=Light note="),
        ("transact", "views=102 user=- theme=Light note=t"),
    ] {
        for lost in 1..3 {
            let token = site.visitor().await;
            let path = format!("/interrupted/{what}?polls=1000&lost={lost}");
            let response = site.get(&path, &token).await;
            let token = set_token(&response).unwrap_or(token);
            if response.status() == Status::Ok {
                assert_eq!(site.read(&token).await, expected, "{path}");
            } else {
                // Both answers were lost, of the `save` and of its repetition at the end.
                assert_eq!(
                    (response.status(), lost),
                    (Status::ServiceUnavailable, 2),
                    "{path}"
                );
            }
        }
    }
}

/// A session that another request ended between a `save` that failed and the next one.
#[get("/<_>/ended")]
async fn ended(mut visit: Session<Visit>, store: &State<Arc<Lossy>>) -> String {
    visit.views += 1;
    poll_times(visit.save(), 1).await;
    let key = Key::new("visit", visit.id().unwrap());
    store.delete(key).await.unwrap();
    let saved = visit.save().await;
    format!("{:?}", saved.map_err(|error| error.is_gone()))
}

#[tokio::test]
async fn a_save_that_finds_out_that_the_one_before_was_dropped_says_so() {
    let site = Site::launch().await;
    let rocket = app::rocket().attach(Visit::fairing().store(Arc::clone(&site.store)));
    let rocket = rocket.manage(Arc::clone(&site.store));
    let client = Client::untracked(rocket.mount("/saves", routes![ended]))
        .await
        .unwrap();
    let token = site.visitor().await;
    let request = client
        .get("/saves/1/ended")
        .cookie(Cookie::new("visit", token.expose()));
    let response = request.dispatch().await.into_string().await;
    assert_eq!(response.as_deref(), Some("Err(true)"));
}
