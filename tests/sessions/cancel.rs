//! A request that is dropped at any point leaves the session as it was or as it would have become. A `save`
//! that is dropped, or whose answer is lost, counts at most once; the request answers only when nothing can
//! land any more.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use rocket::http::{Cookie, Status};
use rocket::local::asynchronous::{Client, LocalResponse};
use rocket::{State, get, routes};
use rocket_typed_session::{Session, TransactError};
use session_core::store::memory::MemoryStore;
use session_core::store::{Delete, Key, Store, Wanted};
use session_core::token::Token;

use crate::app::{self, Visit};
use crate::support::lossy::{Fate, Lossy};

/// How long a request waits for a lost answer.
const TIMEOUT: Duration = Duration::from_millis(60);

/// Drops the future after `times` polls. `None`: it had not ended.
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

async fn attempt<T>(future: impl Future<Output = T>, polls: Option<usize>) -> Option<T> {
    match polls {
        Some(polls) => poll_times(future, polls).await,
        None => Some(future.await),
    }
}

/// Does `what`, perhaps dropped after `polls` polls; then goes on and counts once more.
#[get("/<what>?<polls>")]
async fn interrupted(mut visit: Session<Visit>, what: &str, polls: Option<usize>) -> &'static str {
    visit.views += 1;
    let outcome = match what {
        "switch" => {
            visit.user = Some("bob".into());
            attempt(visit.save(), polls).await
        }
        "login" => {
            visit.user = Some("alice".into());
            attempt(visit.save(), polls).await
        }
        "transact" => {
            let transaction = visit.transact(|visit| {
                visit.note.push('t');
                Ok::<_, ()>(())
            });
            let outcome = attempt(transaction, polls).await;
            outcome.map(|outcome| {
                outcome.map_err(|error| match error {
                    TransactError::Failed(error) => error,
                    TransactError::Aborted(()) | TransactError::Conflict => unreachable!(),
                })
            })
        }
        "twice" => {
            attempt(visit.save(), polls).await;
            Some(visit.save().await)
        }
        "reload" => {
            attempt(visit.save(), polls).await;
            Some(visit.reload().await)
        }
        _ => attempt(visit.save(), polls).await,
    };
    if what == "quiet" {
        // The application accepts what it was told.
    } else if what == "destroy" {
        visit.destroy();
    } else {
        visit.views += 100;
    }
    match outcome {
        None => "dropped",
        Some(Ok(())) => "saved",
        Some(Err(error)) if error.is_unknown() => "unknown",
        Some(Err(_)) => "failed",
    }
}

struct Site {
    client: Client,
    store: Arc<Lossy>,
}

impl Site {
    async fn launch() -> Self {
        let store = Arc::new(Lossy::new(MemoryStore::new(), TIMEOUT));
        let rocket = app::rocket().attach(Visit::fairing().store(Arc::clone(&store)));
        let rocket = rocket.mount("/interrupted", routes![interrupted]);
        let client = Client::untracked(rocket).await.unwrap();
        Self { client, store }
    }

    async fn visitor(&self) -> Token {
        let response = self.client.get("/view").dispatch().await;
        set_token(&response).unwrap()
    }

    async fn alice(&self) -> Token {
        let response = self.get("POST /login/alice", &self.visitor().await).await;
        let token = set_token(&response).unwrap();
        self.get("/note/hers", &token).await;
        token
    }

    async fn get(&self, path: &str, token: &Token) -> LocalResponse<'_> {
        let cookie = Cookie::new("visit", token.expose());
        let method = match path.strip_prefix("POST ") {
            Some(path) => self.client.post(path.to_owned()),
            None => self.client.get(path.to_owned()),
        };
        method.cookie(cookie).dispatch().await
    }

    /// The stored data, and whether the token opens it.
    async fn stored(&self, token: &Token) -> Option<(String, bool)> {
        let key = Key::new("visit", token.id());
        let record = self.store.load(key, &Wanted::All).await.unwrap()?;
        let fields = record.fields.iter();
        let fields =
            fields.map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)));
        let is_open = record.metadata.digests.matches(&token.digests());
        Some((fields.collect::<Vec<_>>().join(" "), is_open))
    }

    /// Interrupts a request and checks what it left: `before` was stored, `part` is what the `save` stores,
    /// `all` what the whole request stores.
    async fn check(&self, what: &str, polls: Option<usize>, fates: &[Fate]) -> Outcome {
        let (token, before) = match what {
            "new" => (None, None),
            "switch" => (
                Some(self.alice().await),
                Some("note=\"hers\" user=\"alice\" views=1"),
            ),
            _ => (Some(self.visitor().await), Some("views=1")),
        };
        let (part, all) = match what {
            "destroy" => (Some("views=2"), None),
            "login" => (
                Some("user=\"alice\" views=2"),
                Some("user=\"alice\" views=102"),
            ),
            "new" => (Some("views=1"), Some("views=101")),
            "quiet" => (Some("views=2"), Some("views=2")),
            "switch" => (Some("user=\"bob\" views=1"), Some("user=\"bob\" views=101")),
            "transact" => (Some("note=\"t\" views=2"), Some("note=\"t\" views=102")),
            _ => (Some("views=2"), Some("views=102")),
        };
        let case = format!("{what} {polls:?} {fates:?}");
        self.store.decide(fates.iter().copied());
        let path = match polls {
            Some(polls) => format!("/interrupted/{what}?polls={polls}"),
            None => format!("/interrupted/{what}"),
        };
        let began = Instant::now();
        let response = match &token {
            Some(token) => self.get(&path, token).await,
            None => self.client.get(path).dispatch().await,
        };
        self.store.decide([]);
        let took = began.elapsed();
        let status = response.status();
        let now = set_token(&response).or(token.clone());
        let said = response.into_string().await.unwrap();
        let stored = match &now {
            Some(token) => self.stored(token).await.map(|(data, _)| data),
            None => None,
        };
        let stored = stored.as_deref();
        match status {
            // A `reload` sees whether the `save` was stored.
            Status::Ok if what == "reload" => {
                assert!(
                    stored == all || stored == Some("views=101"),
                    "{case}: {stored:?}"
                );
            }
            // A transaction that was never sent is not done; the changes before it are.
            Status::Ok if what == "transact" && said == "dropped" => {
                assert!(
                    stored == all || stored == Some("views=102"),
                    "{case}: {stored:?}"
                );
            }
            Status::Ok if said == "unknown" && what == "quiet" => {
                assert!([before, part].contains(&stored), "{case}: {stored:?}");
            }
            Status::Ok => assert_eq!(stored, all, "{case}"),
            status => {
                assert_eq!(status, Status::ServiceUnavailable, "{case}");
                assert!(
                    took >= TIMEOUT,
                    "{case}: answered after {took:?}, while it could land"
                );
                // One session may have ended, and the next not yet begun.
                let halfway = what == "switch" && stored.is_none();
                assert!(
                    [before, part].contains(&stored) || halfway,
                    "{case}: {stored:?}"
                );
            }
        }
        tokio::time::sleep(if fates.is_empty() {
            Duration::ZERO
        } else {
            TIMEOUT
        })
        .await;
        if let Some(token) = &now {
            let later = self.stored(token).await.map(|(data, _)| data);
            assert_eq!(
                later.as_deref(),
                stored,
                "{case}: it landed after the request had ended"
            );
        }
        if let Some(token) = &token
            && now.as_ref().is_some_and(|now| now.id() != token.id())
        {
            assert_eq!(
                self.stored(token).await,
                None,
                "{case}: the session before the switch"
            );
        }
        Outcome { status, said }
    }
}

#[derive(Debug)]
struct Outcome {
    status: Status,
    said: String,
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
            let saved = path == "/save" && stored == Some(("views=2".into(), true));
            assert!(
                stored == old || stored == new || saved,
                "{path} {polls}: {stored:?}"
            );
            assert!(!is_done || stored == new, "{path}");
            let response = site.get("/view", &token).await;
            assert_eq!(response.status(), Status::Ok, "{path} {polls}");
            if stored == old {
                let next = Some(("views=2".into(), true));
                assert_eq!(site.stored(&token).await, next, "{path} {polls}");
            }
            if is_done {
                assert!(polls > 2, "{path}");
                break;
            }
        }
    }
}

/// A crash between the end and the next begin logs out and leaks nothing.
#[tokio::test]
async fn a_switch_of_user_that_is_dropped_leaves_nothing_of_one_to_the_other() {
    let site = Site::launch().await;
    for path in ["POST /login/bob", "POST /leave"] {
        for polls in 0.. {
            let token = site.alice().await;
            let response = poll_times(site.get(path, &token), polls).await;
            let is_done = response.is_some();
            drop(response);
            let stored = site.stored(&token).await;
            let hers = ("note=\"hers\" user=\"alice\" views=1".into(), true);
            assert!(
                stored.is_none() || stored == Some(hers),
                "{path} {polls}: {stored:?}"
            );
            if is_done {
                assert_eq!(stored, None);
                break;
            }
        }
    }
}

const WHAT: [&str; 9] = [
    "destroy", "login", "new", "quiet", "reload", "save", "switch", "transact", "twice",
];

#[tokio::test]
async fn what_a_dropped_save_said_counts_once_or_the_request_says_that_nobody_knows() {
    let site = Site::launch().await;
    for what in WHAT {
        // A `reload` forgets a `save` that never began.
        let mut dropped_in_flight = 0;
        for polls in 0.. {
            let outcome = site.check(what, Some(polls), &[]).await;
            dropped_in_flight += usize::from(outcome.status != Status::Ok);
            if outcome.said == "saved" && polls > 6 {
                break;
            }
        }
        let never_fails = matches!(what, "destroy" | "reload");
        assert_eq!(dropped_in_flight == 0, never_fails, "{what}");
    }
}

#[tokio::test]
async fn a_save_whose_answer_got_lost_counts_once_or_not_at_all() {
    let site = Site::launch().await;
    let delayed = |millis| Fate::Delayed(Duration::from_millis(millis));
    for what in WHAT {
        for first in [Fate::Dropped, Fate::Unheard, delayed(10), delayed(100)] {
            for polls in [None, Some(20)] {
                let outcome = site.check(what, polls, &[first]).await;
                // A create and a delete are sent again.
                let is_ok = match what {
                    "destroy" | "new" | "reload" => true,
                    "quiet" => polls.is_none(),
                    "switch" => outcome.status == Status::Ok,
                    _ => false,
                };
                let told = format!("{what} {first:?} {polls:?}: {outcome:?}");
                assert_eq!(
                    outcome.status == Status::Ok || what == "new",
                    is_ok,
                    "{told}"
                );
            }
        }
    }
}

/// Whether the second `save` of each request had an unknown outcome.
type Said = Mutex<Vec<Option<bool>>>;

#[get("/<ends>")]
async fn again(
    mut visit: Session<Visit>,
    store: &State<Arc<Lossy>>,
    said: &State<Said>,
    ends: bool,
) {
    visit.views += 1;
    poll_times(visit.save(), 1).await;
    if ends {
        let key = Key::new("visit", visit.id().unwrap());
        let delete = Delete::new(None, store.now());
        store.delete(key, &delete).await.unwrap();
    }
    let saved = visit.save().await;
    said.lock()
        .unwrap()
        .push(saved.err().map(|error| error.is_unknown()));
}

/// As after `timeout(…, visit.save())`: a retry must not be told that all is well.
#[tokio::test]
async fn a_save_after_one_that_was_dropped_says_that_nobody_knows() {
    let store = Arc::new(Lossy::new(MemoryStore::new(), TIMEOUT));
    let rocket = app::rocket().attach(Visit::fairing().store(Arc::clone(&store)));
    let rocket = rocket.manage(Arc::clone(&store)).manage(Said::default());
    let client = Client::untracked(rocket.mount("/again", routes![again]))
        .await
        .unwrap();
    let site = Site { client, store };
    for ends in [false, true] {
        let token = site.visitor().await;
        let response = site.get(&format!("/again/{ends}"), &token).await;
        assert_eq!(response.status(), Status::ServiceUnavailable);
    }
    let said = site
        .client
        .rocket()
        .state::<Said>()
        .unwrap()
        .lock()
        .unwrap();
    assert_eq!(*said, [Some(true), Some(true)]);
}
