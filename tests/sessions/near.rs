//! The near cache: which requests read a copy, what a process sees at once, and how long another process may
//! see old data.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rocket::{Build, Rocket, get, routes};
use rocket_typed_session::{Error, Session};
use session_core::fields::Fields;
use session_core::merge::{Change, Counter, CounterRange};
use session_core::record::{Metadata, Record};
use session_core::store::redis::RedisStore;
use session_core::store::{Created, Delete, Key, Store as _, Update, Updated, Wanted};
use session_core::testing::conformance::StoreUnderTest;
use session_core::token::Token;

use crate::app::{Visit, rocket};
use crate::support::http::{Request, Server};
use crate::support::near::NearFirst;
use crate::support::own::configured;
use crate::support::proxy::Proxy;
use crate::support::redis::{Monitor, RedisServer};

/// So long that only an invalidation removes a copy.
const LONG: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const COUNTER: Counter = Counter::new(CounterRange::new(0, i64::MAX));

fn near(redis: &RedisServer, within: &str) -> Rocket<Build> {
    let rocket = configured(
        rocket().attach(Visit::fairing()),
        "databases.sessions.url",
        &redis.url(),
    );
    configured(rocket, "sessions.visit.near", within).mount("/", routes![reloaded])
}

#[get("/reloaded")]
async fn reloaded(mut visit: Session<Visit>) -> Result<String, Error> {
    visit.reload().await?;
    Ok(visit.views.to_string())
}

fn loads(monitor: &Monitor<'_>) -> usize {
    let commands = monitor.take();
    commands
        .iter()
        .filter(|command| command.name() == "HMGET" && !command.is_in_script())
        .count()
}

mod conforming {
    use super::*;

    static SERVER: std::sync::LazyLock<RedisServer> = std::sync::LazyLock::new(RedisServer::start);

    async fn near_under_test() -> StoreUnderTest {
        // No longer than the clauses wait: a copy does not expire with its session.
        let store = SERVER.near_store(SERVER.port(), Duration::from_millis(200));
        store.ping().await.unwrap();
        StoreUnderTest::new(NearFirst::new(store))
    }

    session_core::conformance_tests!(near_under_test);
}

#[tokio::test]
async fn only_get_and_head_read_a_copy() {
    let redis = RedisServer::start();
    let server = Server::launch(near(&redis, "1min")).await;
    let mut browser = server.browser();
    browser.post("/login/alice", &[]).await;
    let monitor = redis.monitor();
    let alice = "views=0 user=alice theme=Light note=";
    assert_eq!(browser.get("/read").await.text(), alice);
    assert_eq!(loads(&monitor), 1);
    for _ in 0..3 {
        assert_eq!(browser.get("/read").await.text(), alice);
        assert_eq!(
            browser.send(Request::new("HEAD", "/read")).await.status,
            200
        );
    }
    assert_eq!(loads(&monitor), 0);
    // A change by GET is stored, and read at once.
    assert_eq!(browser.get("/view").await.text(), "1");
    assert_eq!(loads(&monitor), 0);
    assert_eq!(
        browser.get("/read").await.text(),
        "views=1 user=alice theme=Light note="
    );
    assert_eq!(loads(&monitor), 1);
    // `reload` asks the server, also by GET.
    assert_eq!(browser.get("/reloaded").await.text(), "1");
    assert_eq!(loads(&monitor), 1);
    // So does everything but GET and HEAD.
    browser.post("/rotate", &[]).await;
    assert_eq!(loads(&monitor), 1);
    browser.get("/read").await;
    browser.post("/logout", &[]).await;
    assert_eq!(loads(&monitor), 2);
    assert_eq!(
        browser.get("/read").await.text(),
        "views=0 user=- theme=Light note="
    );
}

/// If a copy does not show a live session, the server is asked.
#[tokio::test]
async fn only_that_a_session_lives_is_believed() {
    let redis = RedisServer::start();
    let server = Server::launch(near(&redis, "1min")).await;
    let elsewhere = Server::launch(configured(
        rocket().attach(Visit::fairing()),
        "databases.sessions.url",
        &redis.url(),
    ))
    .await;
    let mut browser = server.browser();
    browser.post("/login/alice", &[]).await;
    browser.get("/read").await;
    browser.go_to(elsewhere.address());
    browser.post("/rotate", &[]).await;
    browser.go_to(server.address());
    // The copy, if it is still there, has the old token.
    assert_eq!(
        browser.get("/read").await.text(),
        "views=0 user=alice theme=Light note="
    );
    // A POST acts on the stored session.
    browser.go_to(elsewhere.address());
    let jar = browser.jar.clone();
    browser.post("/logout", &[]).await;
    browser.go_to(server.address());
    browser.jar = jar;
    browser.post("/rotate", &[]).await;
    assert!(redis.keys().is_empty());
    assert_eq!(
        browser.get("/read").await.text(),
        "views=0 user=- theme=Light note="
    );
}

/// Its link is frozen, so the process has not heard of a logout: it shows the page, and no more.
#[tokio::test]
async fn what_a_get_does_to_a_copy_brings_no_session_back() {
    let redis = RedisServer::start();
    let proxy = Proxy::to(redis.port()).await;
    let way = format!("redis://127.0.0.1:{}", proxy.port());
    let rocket = configured(near(&redis, "1min"), "databases.sessions.url", &way);
    let frozen = Server::launch(configured(rocket, "sessions.visit.timeout", "500ms")).await;
    let elsewhere = Server::launch(near(&redis, "1min")).await;
    let mut browser = frozen.browser();
    browser.post("/login/alice", &[]).await;
    let alice = "views=0 user=alice theme=Light note=";
    assert_eq!(browser.get("/read").await.text(), alice);
    proxy.swallow();
    let mut other = browser.clone();
    other.go_to(elsewhere.address());
    assert_eq!(other.post("/logout", &[]).await.status, 303);
    assert!(redis.keys().is_empty());
    assert_eq!(browser.get("/read").await.text(), alice);
    // The update arrives; its refusal does not.
    let jar = browser.jar.clone();
    assert_eq!(browser.get("/view").await.status, 503);
    assert!(redis.keys().is_empty());
    proxy.cut();
    browser.jar = jar;
    let nobody = "views=0 user=- theme=Light note=";
    assert_eq!(browser.get("/read").await.text(), nobody);
    assert!(redis.keys().is_empty());
}

/// Which of two cookies counts depends on which session lives, and a copy may be old.
#[tokio::test]
async fn of_two_cookies_no_copy_decides() {
    let redis = RedisServer::start();
    let server = Server::launch(near(&redis, "1min")).await;
    let (mut first, mut second) = (server.browser(), server.browser());
    for browser in [&mut first, &mut second] {
        browser.post("/login/alice", &[]).await;
        browser.get("/read").await;
    }
    let both = [&first, &second].map(|browser| browser.jar.header().unwrap());
    let monitor = redis.monitor();
    let request = Request::get("/read").header("Cookie", both.join("; "));
    let response = server.browser().send(request).await;
    assert_eq!(response.text(), "views=0 user=- theme=Light note=");
    assert_eq!(loads(&monitor), 2);
}

struct Counted {
    key: Key,
    token: Token,
}

impl Counted {
    async fn new(store: &RedisStore) -> Self {
        store.ping().await.unwrap();
        let token = Token::generate().unwrap();
        let key = Key::new("visit", token.id());
        let mut metadata = Metadata::created_now(store.now(), HOUR);
        metadata.digests = token.digests();
        let record = Record::new(metadata, Fields::new(), store.now().plus(HOUR));
        assert_eq!(store.create(key, record).await.unwrap(), Created::Done);
        Self { key, token }
    }

    async fn add(&self, store: &RedisStore) -> u64 {
        let mut update = Update::new(self.token.digests(), store.now().plus(HOUR));
        let (delta, base, counter) = (1, 0, COUNTER);
        let add = Change::Add {
            delta,
            base,
            counter,
        };
        update.changes.insert("views".into(), add);
        match store.update(self.key, &update).await.unwrap() {
            Updated::Done(answer) => views(&answer),
            other => panic!("{other:?}"),
        }
    }

    async fn load(&self, store: &RedisStore) -> u64 {
        let record = store.load(self.key, &Wanted::All).await.unwrap();
        views(&record.unwrap().fields)
    }

    fn near(&self, store: &RedisStore) -> Option<u64> {
        let record = store.near(self.key, &Wanted::All);
        record.map(|record| views(&record.fields))
    }

    /// What a GET reads, and whether it was a copy.
    async fn get(&self, store: &RedisStore) -> (u64, bool) {
        match self.near(store) {
            Some(views) => (views, true),
            None => (self.load(store).await, false),
        }
    }
}

fn views(fields: &Fields) -> u64 {
    let views = fields.get("views").map(str::from_utf8);
    views.map_or(0, |views| views.unwrap().parse().unwrap())
}

/// After the answer to a write, nobody reads anything older, and nobody reads backwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_process_stored_it_reads_at_once() {
    const WRITES: u64 = 10_000;
    let redis = RedisServer::start();
    let store = Arc::new(redis.near_store(redis.port(), LONG));
    let session = Arc::new(Counted::new(&store).await);
    let (written, copies) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let writers = (0..4).map(|_| {
        let (store, session, written) = (store.clone(), session.clone(), written.clone());
        tokio::spawn(async move {
            for _ in 0..WRITES / 4 {
                let value = session.add(&store).await;
                assert!(session.get(&store).await.0 >= value);
                written.fetch_max(value, Ordering::SeqCst);
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let readers = (0..4).map(|_| {
        let (store, session) = (store.clone(), session.clone());
        let (written, copies) = (written.clone(), copies.clone());
        tokio::spawn(async move {
            let mut last = 0;
            while last < WRITES {
                let before = written.load(Ordering::SeqCst);
                let (value, is_copy) = session.get(&store).await;
                assert!(
                    value >= before && value >= last,
                    "{value} after {before} and {last}"
                );
                last = value;
                copies.fetch_add(is_copy.into(), Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    for task in writers.into_iter().chain(readers) {
        task.await.unwrap();
    }
    // Otherwise this proves nothing.
    assert!(copies.load(Ordering::SeqCst) > 100, "{copies:?}");
}

/// Until an abandoned write can no longer land, no copy is read.
#[tokio::test]
async fn nothing_is_a_copy_beside_a_write_that_nobody_waits_for() {
    let redis = RedisServer::start();
    let proxy = Proxy::to(redis.port()).await;
    let timeout = Duration::from_millis(300);
    let store = redis.near_store(proxy.port(), LONG).timeout(timeout);
    let session = Counted::new(&store).await;
    // Loads the script, so that a write is one message.
    session.add(&store).await;
    session.load(&store).await;
    assert_eq!(session.near(&store), Some(1));
    proxy.hold();
    let until = Instant::now() + timeout;
    assert!(
        tokio::time::timeout(timeout / 10, session.add(&store))
            .await
            .is_err()
    );
    proxy.release();
    assert_eq!(session.near(&store), None);
    loop {
        session.load(&store).await;
        // Until then, a load leaves no copy.
        match session.near(&store) {
            None => assert!(Instant::now() < until + LONG),
            Some(views) => {
                assert_eq!(views, 2);
                assert!(Instant::now() >= until);
                break;
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// What the process sends no longer arrives.
    Held,
    /// What the server sends no longer arrives, though the connection stands.
    Frozen,
    Cut,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn another_process_reads_what_was_for_a_moment_and_never_longer_than_it_may() {
    const WITHIN: Duration = Duration::from_millis(400);
    let redis = RedisServer::start();
    let writer = redis.store();
    for fault in [Fault::None, Fault::Held, Fault::Frozen, Fault::Cut] {
        let rounds = if matches!(fault, Fault::None) { 500 } else { 5 };
        let mut ages = Vec::new();
        for _ in 0..rounds {
            let proxy = Proxy::to(redis.port()).await;
            let reader = redis.near_store(proxy.port(), WITHIN);
            let session = Counted::new(&writer).await;
            reader.ping().await.unwrap();
            session.load(&reader).await;
            assert_eq!(session.near(&reader), Some(0));
            match fault {
                Fault::None => {}
                Fault::Held => proxy.hold(),
                Fault::Frozen => proxy.swallow(),
                Fault::Cut => proxy.cut(),
            }
            // The write may be done from here on.
            let began = Instant::now();
            let written = session.add(&writer).await;
            let mut last = Duration::ZERO;
            // By then, even a process that hears nothing must have noticed.
            while began.elapsed() < WITHIN * 2 {
                let before = began.elapsed();
                match session.near(&reader) {
                    Some(views) if views < written => last = before,
                    _ if matches!(fault, Fault::None) => break,
                    // One read is sent to the server in good time; the others go on.
                    _ => {}
                }
                tokio::task::yield_now().await;
            }
            ages.push(last);
        }
        ages.sort_unstable();
        let (median, worst) = (ages[ages.len() / 2], ages[ages.len() - 1]);
        println!("{fault:?}: the last stale read after {median:?}, at worst {worst:?}");
        assert!(worst < WITHIN, "{fault:?}: {worst:?}");
        let is_told = matches!(fault, Fault::None | Fault::Cut);
        assert!(!is_told || median < WITHIN / 4, "{fault:?}: {median:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_vouches_for_nothing() {
    const WITHIN: Duration = Duration::from_millis(300);
    let mut redis = RedisServer::start();
    let reader = redis.near_store(redis.port(), WITHIN).timeout(WITHIN);
    let session = Counted::new(&reader).await;
    session.load(&reader).await;
    let began = Instant::now();
    redis.pause();
    let mut reads = 0;
    while began.elapsed() < WITHIN * 2 {
        let before = began.elapsed();
        if session.near(&reader).is_some() {
            assert!(before < WITHIN, "{before:?}");
            reads += 1;
        }
        tokio::task::yield_now().await;
    }
    assert!(reads > 0);
    assert!(reader.load(session.key, &Wanted::All).await.is_err());
    redis.resume();
    let patience = Instant::now() + LONG;
    while reader.load(session.key, &Wanted::All).await.is_err() {
        assert!(Instant::now() < patience);
    }
    session.load(&reader).await;
    assert_eq!(session.near(&reader), Some(0));
    // It restarts from its dump; no earlier copy counts.
    let _: String = redis.command(&["SAVE"]);
    session.add(&reader).await;
    session.load(&reader).await;
    assert_eq!(session.near(&reader), Some(1));
    redis.restart();
    while reader.load(session.key, &Wanted::All).await.is_err() {
        assert!(Instant::now() < patience);
    }
    assert_eq!(session.get(&reader).await.0, 0);
}

#[tokio::test]
async fn what_is_deleted_elsewhere_is_forgotten() {
    let redis = RedisServer::start();
    let (store, other) = (redis.near_store(redis.port(), LONG), redis.store());
    let session = Counted::new(&store).await;
    session.load(&store).await;
    assert_eq!(session.near(&store), Some(0));
    other.ping().await.unwrap();
    let delete = Delete::new(None, other.now().plus(HOUR));
    other.delete(session.key, &delete).await.unwrap();
    // The server's next answer comes after its invalidation.
    store.ping().await.unwrap();
    assert_eq!(session.near(&store), None);

    let session = Counted::new(&store).await;
    session.load(&store).await;
    assert_eq!(session.near(&store), Some(0));
    let _: String = redis.command(&["FLUSHALL"]);
    store.ping().await.unwrap();
    assert_eq!(session.near(&store), None);
}

/// RESP3 gives these answers other types.
#[tokio::test]
async fn the_server_says_what_it_is_over_the_same_connection() {
    let redis = RedisServer::start();
    let store = redis.near_store(redis.port(), LONG);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
    let said = store.describe();
    assert!(said.contains("(standalone, master, noeviction)"), "{said}");
}

/// It would cost too much memory.
#[tokio::test]
async fn a_large_record_is_no_copy() {
    let redis = RedisServer::start();
    let store = redis.near_store(redis.port(), LONG);
    let session = Counted::new(&store).await;
    session.load(&store).await;
    assert_eq!(session.near(&store), Some(0));
    let mut update = Update::new(session.token.digests(), store.now().plus(HOUR));
    let large = Change::Set(vec![b'x'; 5000]);
    update.changes.insert("note".into(), large);
    store.update(session.key, &update).await.unwrap();
    // The invalidation has come: only the size is in the way.
    store.ping().await.unwrap();
    session.load(&store).await;
    assert_eq!(session.near(&store), None);
}

#[tokio::test]
async fn without_the_permission_to_track_nothing_is_read() {
    let redis = RedisServer::start();
    let user = "ACL SETUSER sessions on >secret ~* resetchannels +@all -client|tracking";
    let _: String = redis.command(&user.split(' ').collect::<Vec<_>>());
    let url = format!("redis://sessions:secret@127.0.0.1:{}", redis.port());
    let store = RedisStore::new(url).unwrap().near_cache(LONG);
    let error = store.ping().await.unwrap_err().to_string();
    assert!(error.contains("NOPERM"), "{error}");
}
