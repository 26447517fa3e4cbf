//! A language of verbs, so that a test states only the order of what requests do.

use std::sync::Arc;
use std::time::Duration;

use rocket::response::stream::TextStream;
use rocket::{Build, Rocket, State, post, routes};
use rocket_typed_session::{Error, Lifetime, Session, session};
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, block_in_place};

use crate::app::Gate;
use crate::support::http::{Browser, Connection, Request, Response, Server};
use crate::support::own::{configured, on_all_stores, quiet};
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;

#[session(cookie = "visit", name = "visit")]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(identity)]
    user: Option<String>,
    note: String,
    #[session(keep)]
    theme: String,
    #[session(counter, keep)]
    seen: u64,
    #[session(once)]
    code: Option<String>,
}

const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

async fn perform(visit: &mut Session<Visit>, gate: &Gate, verb: &str) -> Option<String> {
    let (verb, word) = verb.split_once(':').unwrap_or((verb, ""));
    let said = |result: Result<(), Error>| match result {
        Ok(()) => "stored".to_owned(),
        Err(error) if error.is_gone() => "gone".to_owned(),
        Err(error) if error.is_unknown() => "unknown".to_owned(),
        Err(error) if error.is_store() => "not stored".to_owned(),
        Err(_) => "refused".to_owned(),
    };
    match verb {
        "log_in" => visit.log_in(word.into()),
        "user" => visit.user = Some(word.into()),
        "nobody" => visit.user = None,
        "clear" => visit.clear(),
        "destroy" => visit.destroy(),
        "rotate" => visit.rotate_token(),
        "remember" => visit.set_lifetime(Lifetime::new(MONTH, MONTH).persistent()),
        "view" => visit.views += 1,
        "seen" => visit.seen += 1,
        "note" => visit.note = word.into(),
        "append" => visit.note.push_str(word),
        "theme" => visit.theme = word.into(),
        "code" => visit.code = Some(word.into()),
        "save" => return Some(said(visit.save().await)),
        "reload" => return Some(said(visit.reload().await)),
        "take" => {
            let taken = Visit::take_code(visit).await;
            return Some(taken.map_or_else(|error| said(Err(error)), |code| format!("{code:?}")));
        }
        "transact" => {
            let mut runs = 0;
            let done = visit.transact(|visit| {
                runs += 1;
                if !word.is_empty() {
                    // The first run lets the test come in between.
                    block_in_place(|| Handle::current().block_on(gate.pass_if(runs == 1)));
                    visit.user = Some(word.into());
                }
                visit.note = format!("after {}", visit.theme);
                Ok::<_, ()>(())
            });
            return Some(format!("transacted {}", done.await.is_ok()));
        }
        "wait" => gate.pass_if(true).await,
        "read" => return Some(show(visit)),
        "id" => return visit.id().map(|id| id.to_string()),
        _ => panic!("no verb: {verb}"),
    }
    None
}

fn show(visit: &Visit) -> String {
    let user = visit.user.as_deref().unwrap_or("nobody");
    let Visit {
        views,
        note,
        theme,
        seen,
        ..
    } = visit;
    format!("{user} views={views} note={note} theme={theme} seen={seen}")
}

/// Two guards; `b.` before a verb means the second.
#[post("/do/<verbs>")]
async fn act(
    mut a: Session<Visit>,
    mut b: Session<Visit>,
    gate: &State<Arc<Gate>>,
    verbs: &str,
) -> String {
    let mut said = Vec::new();
    for verb in verbs.split(',') {
        let (visit, verb) = match verb.strip_prefix("b.") {
            Some(verb) => (&mut b, verb),
            None => (&mut a, verb),
        };
        said.extend(perform(visit, gate, verb).await);
    }
    said.join("|")
}

/// After the response has begun.
#[post("/stream/<verbs>")]
async fn stream(
    mut visit: Session<Visit>,
    gate: &State<Arc<Gate>>,
    verbs: String,
) -> TextStream![String] {
    let gate = Arc::clone(gate);
    TextStream! {
        for verb in verbs.split(',') {
            if let Some(said) = perform(&mut visit, &gate, verb).await {
                yield said;
            }
        }
    }
}

fn app(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket
        .attach(Visit::fairing())
        .mount("/", routes![act, stream])
}

async fn does(browser: &mut Browser, verbs: &str) -> String {
    let response = browser.post(&format!("/do/{verbs}"), &[]).await;
    assert_eq!(response.status, 200, "{verbs}");
    response.text()
}

/// Sends these cookies, and ignores the response's.
async fn with(browser: &Browser, verbs: &str, cookies: &[&Browser]) -> Response {
    let cookies = cookies.iter().map(|browser| browser.jar.header().unwrap());
    let cookies = cookies.collect::<Vec<_>>().join("; ");
    let request = Request::post(&format!("/do/{verbs}"), &[]).header("Cookie", cookies);
    let mut connection = Connection::open(browser.address()).await.unwrap();
    connection.send(&request).await
}

/// Runs a test on both stores, with a browser that did `setup`.
async fn on_both(setup: &str, test: impl AsyncFn(Browser, &Gate)) {
    let gate = Arc::new(Gate::new());
    let make = |rocket| app(rocket).manage(Arc::clone(&gate));
    on_all_stores(make, async |server| {
        let mut browser = server.browser();
        if !setup.is_empty() {
            does(&mut browser, setup).await;
        }
        test(browser, &gate).await;
    })
    .await;
}

/// Begins a request, up to its `wait`.
async fn begin(browser: &Browser, gate: &Gate, verbs: &str) -> JoinHandle<(Browser, Response)> {
    let mut browser = browser.clone();
    let path = format!("/do/{verbs}");
    let request = tokio::spawn(async move {
        let response = browser.post(&path, &[]).await;
        (browser, response)
    });
    gate.entered().await;
    request
}

/// The request's other guard reads and writes the new user's session.
#[tokio::test]
async fn a_guard_that_read_the_previous_user_is_not_for_the_next() {
    for (verbs, read) in [
        ("log_in:bob,b.read", "bob views=0 note= theme=t seen=1"),
        ("log_in:bob,save,b.read", "bob views=0 note= theme=t seen=1"),
        (
            "log_in:bob,b.view,b.read",
            "bob views=1 note= theme=t seen=1",
        ),
        (
            "log_in:bob,save,b.view,b.append:x,b.read",
            "bob views=1 note=x theme=t seen=1",
        ),
        (
            "nobody,save,b.view,b.append:x,b.read",
            "nobody views=1 note=x theme=t seen=1",
        ),
        ("user:bob,b.destroy,read,append:x,read", ""),
        (
            "user:bob,b.nobody,b.save,append:x,b.save,save,read",
            "nobody views=0 note=x theme=t seen=1",
        ),
    ] {
        let setup = "log_in:alice,note:secret,theme:t,view,view,seen";
        on_both(setup, async |mut browser, _| {
            let said = does(&mut browser, verbs).await;
            let later = does(&mut browser, "read").await;
            assert!(
                !said.contains("secret") && !later.contains("secret"),
                "{verbs}: {said}"
            );
            if !read.is_empty() {
                assert_eq!(said.split('|').next_back(), Some(read), "{verbs}");
                assert_eq!(later, read, "{verbs}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn what_a_guard_changed_of_the_previous_user_is_dropped() {
    on_both("log_in:alice,note:secret", async |mut browser, _| {
        let said = does(&mut browser, "b.append:x,log_in:bob,b.save,b.read").await;
        assert_eq!(said, "gone|bob views=0 note= theme= seen=0");
        assert_eq!(
            does(&mut browser, "read").await,
            "bob views=0 note= theme= seen=0"
        );
    })
    .await;
}

#[tokio::test]
async fn an_id_stays_with_its_user_whichever_guard_logs_in() {
    on_both("log_in:alice,note:secret", async |mut browser, _| {
        let said = does(
            &mut browser,
            "log_in:bob,note:bobs,save,id,b.log_in:alice,b.save,b.id,b.read",
        );
        let said = said.await;
        let words: Vec<_> = said.split('|').collect();
        assert_ne!(words[1], words[3], "{said}");
        assert_eq!(words[4], "alice views=0 note= theme= seen=0");
    })
    .await;
    // An anonymous session becomes alice's; a second guard logs her in again.
    on_both("note:basket", async |mut browser, _| {
        let said = does(
            &mut browser,
            "log_in:alice,save,id,b.log_in:alice,b.save,b.id,b.read",
        )
        .await;
        let words: Vec<_> = said.split('|').collect();
        assert_eq!(words[1], words[3], "{said}");
        assert_eq!(words[4], "alice views=0 note=basket theme= seen=0");
    })
    .await;
}

/// A change to no user is no login.
#[tokio::test]
async fn nothing_begins_another_session_after_a_logout_except_a_login() {
    for (verbs, later) in [
        (
            "wait,nobody,note:late",
            "nobody views=0 note= theme= seen=0",
        ),
        (
            "nobody,note:late,wait",
            "nobody views=0 note= theme= seen=0",
        ),
        ("wait,clear,note:late", "nobody views=0 note= theme= seen=0"),
        ("wait,log_in:bob", "bob views=0 note= theme= seen=0"),
        (
            "wait,user:bob,note:new",
            "bob views=0 note=new theme= seen=0",
        ),
    ] {
        on_both(
            "log_in:alice,theme:hers,note:secret,seen",
            async |browser, gate| {
                let slow = begin(&browser, gate, verbs).await;
                does(&mut browser.clone(), "destroy").await;
                gate.release();
                let (mut browser, response) = slow.await.unwrap();
                assert_eq!(response.status, 200);
                assert_eq!(does(&mut browser, "read").await, later, "{verbs}");
            },
        )
        .await;
    }
}

#[tokio::test]
async fn who_leaves_ends_the_session_though_its_token_was_replaced() {
    on_both("log_in:alice,note:secret", async |browser, gate| {
        let slow = begin(&browser, gate, "wait,nobody").await;
        let mut other = browser.clone();
        does(&mut other, "rotate").await;
        gate.release();
        assert_eq!(slow.await.unwrap().1.status, 200);
        assert_eq!(
            does(&mut other, "read").await,
            "nobody views=0 note= theme= seen=0"
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_kept_is_what_is_stored_when_the_user_changes() {
    on_both("log_in:alice,theme:light", async |browser, gate| {
        let slow = begin(&browser, gate, "wait,log_in:bob,seen").await;
        let said = does(&mut browser.clone(), "theme:dark,seen,save").await;
        assert_eq!(said, "stored");
        gate.release();
        let (mut browser, _) = slow.await.unwrap();
        assert_eq!(
            does(&mut browser, "read").await,
            "bob views=0 note= theme=dark seen=2"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_changes_the_user_commits_only_what_it_read() {
    on_both("log_in:alice,theme:light", async |browser, gate| {
        let slow = begin(&browser, gate, "transact:bob").await;
        does(&mut browser.clone(), "theme:dark").await;
        gate.release();
        let (mut browser, response) = slow.await.unwrap();
        assert_eq!(response.text(), "transacted true");
        let later = "bob views=0 note=after dark theme=dark seen=0";
        assert_eq!(does(&mut browser, "read").await, later);
    })
    .await;
}

#[tokio::test]
async fn who_goes_on_after_the_end_begins_with_nothing() {
    for end in ["destroy", "rotate"] {
        for verbs in [
            "wait,reload,user:bob,read,append:x",
            "view,wait,save,user:bob,read,append:x",
            "wait,take,user:bob,append:x,read",
            "wait,transact,user:bob,append:x,read",
            "user:bob,wait,reload,read,append:x",
        ] {
            on_both("log_in:alice,note:secret,code:c", async |browser, gate| {
                let slow = begin(&browser, gate, verbs).await;
                does(&mut browser.clone(), end).await;
                gate.release();
                let (mut browser, response) = slow.await.unwrap();
                let later = does(&mut browser, "read").await;
                assert!(
                    !response.text().contains("secret"),
                    "{verbs}: {}",
                    response.text()
                );
                assert!(!later.contains("secret"), "{verbs}: {later}");
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_login_in_a_stream_is_refused_and_not_dropped() {
    on_both("note:old", async |mut browser, _| {
        let response = browser
            .post("/stream/note:new,log_in:alice,save", &[])
            .await;
        assert_eq!(response.text(), "refused");
        assert_eq!(
            does(&mut browser, "read").await,
            "nobody views=0 note=old theme= seen=0"
        );
    })
    .await;
}

#[tokio::test]
async fn a_login_shortens_no_life_that_another_request_made_longer() {
    on_both("note:x", async |browser, gate| {
        let slow = begin(&browser, gate, "wait,log_in:alice,save").await;
        does(&mut browser.clone(), "remember").await;
        gate.release();
        let (mut browser, _) = slow.await.unwrap();
        let renewed = browser.post("/do/rotate", &[]).await;
        let cookie = renewed.set_cookies()[0];
        let (_, max_age) = cookie.split_once("Max-Age=").unwrap();
        let max_age: u64 = max_age.split(';').next().unwrap().parse().unwrap();
        assert!(max_age > MONTH.as_secs() - 60, "{cookie}");
    })
    .await;
}

/// A thief rotated the token; the browser has the old one, and a planted cookie.
#[tokio::test]
async fn a_planted_cookie_hides_no_other() {
    for planted in ["log_in:eve", "note:anonymous"] {
        for verb in ["destroy", "log_in:alice", "note:card-number"] {
            on_both("log_in:alice,note:hers", async |victim, _| {
                let mut thief = victim.clone();
                does(&mut thief, "rotate").await;
                let mut eve = Browser::new(victim.address());
                does(&mut eve, planted).await;
                let response = with(&victim, verb, &[&victim, &eve]).await;
                assert_eq!(response.status, 200);
                let later = does(&mut thief, "read").await;
                assert_eq!(later.contains("alice"), verb.starts_with("note"), "{later}");
                let read = does(&mut eve, "read").await;
                assert!(!read.contains("card-number"), "{read}");
            })
            .await;
        }
    }
}

/// The browser's own cookie is from just before a login.
#[tokio::test]
async fn a_planted_cookie_fakes_no_logout() {
    for rotate in [false, true] {
        on_both("note:x", async |mut browser, _| {
            let before = browser.clone();
            does(&mut browser, "log_in:alice").await;
            let mut eve = Browser::new(browser.address());
            does(&mut eve, "log_in:eve").await;
            let planted = eve.clone();
            if rotate {
                does(&mut eve, "rotate").await;
            }
            let response = with(&before, "destroy", &[&before, &planted]).await;
            assert_eq!(response.status, 503);
            assert!(response.set_cookies().is_empty());
            // The planted session has ended.
            assert!(!does(&mut eve, "read").await.contains("eve"));
            assert!(does(&mut browser, "read").await.contains("alice"));
        })
        .await;
    }
}

/// Left for another path, it is no planted cookie.
#[tokio::test]
async fn an_older_token_of_the_same_session_does_no_harm() {
    on_both("log_in:alice", async |mut browser, _| {
        let old = browser.clone();
        does(&mut browser, "rotate,note:hers").await;
        let response = with(&browser, "read", &[&old, &browser]).await;
        assert_eq!(response.text(), "alice views=0 note=hers theme= seen=0");
    })
    .await;
}

/// With a Redis of its own, behind a proxy.
async fn on_redis(timeout: &str, test: impl AsyncFn(Browser, &Gate, &RedisServer, &Proxy)) {
    let redis = RedisServer::start();
    let proxy = Proxy::to(redis.port()).await;
    let gate = Arc::new(Gate::new());
    let url = format!("redis://127.0.0.1:{}", proxy.port());
    let rocket = configured(quiet(), "databases.sessions.url", &url);
    let rocket = configured(rocket, "sessions.visit.timeout", timeout);
    let server = Server::launch(app(rocket).manage(Arc::clone(&gate))).await;
    test(server.browser(), &gate, &redis, &proxy).await;
}

#[tokio::test]
async fn what_is_kept_survives_a_create_that_failed() {
    on_redis("2s", async |mut browser, gate, redis, _| {
        does(&mut browser, "log_in:alice,theme:dark,seen").await;
        let slow = begin(&browser, gate, "wait,log_in:bob,save,wait,read").await;
        let _: String = redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
        gate.release();
        gate.entered().await;
        let _: String = redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
        gate.release();
        let (mut browser, response) = slow.await.unwrap();
        assert_eq!(
            response.text(),
            "not stored|bob views=0 note= theme=dark seen=1"
        );
        let later = does(&mut browser, "read").await;
        assert_eq!(later, "bob views=0 note= theme=dark seen=1");
    })
    .await;
}

/// The kernel still acknowledges what is sent, and new connections work.
#[tokio::test]
async fn a_connection_that_hangs_is_replaced_whatever_the_deadline() {
    for timeout in ["200ms", "400ms", "2s"] {
        on_redis(timeout, async |mut browser, _, _, proxy| {
            does(&mut browser, "note:x").await;
            proxy.hold();
            let mut tries = 0;
            while browser.post("/do/read", &[]).await.status != 200 {
                tries += 1;
                assert!(tries < 5, "{timeout}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_logout_of_unknown_outcome_is_tried_again_at_the_end() {
    on_redis("300ms", async |mut browser, gate, redis, proxy| {
        does(&mut browser, "log_in:alice").await;
        let slow = begin(&browser, gate, "destroy,wait,save").await;
        proxy.hold();
        gate.release();
        let (_, response) = slow.await.unwrap();
        assert_eq!(
            (response.status, response.text().as_str()),
            (200, "unknown")
        );
        assert!(redis.keys().is_empty());
    })
    .await;
}
