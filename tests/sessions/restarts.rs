//! Restarts, dumps and flushes of the server; ends of programs and browsers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use log::Level;
use tokio::task::{JoinHandle, JoinSet};

use crate::app::{ABSOLUTE, App, MINUTE};
use crate::site::{NOTHING, Site, alone_on_each_topology, on_each_topology};
use crate::support::http::{Browser, Connection, Request, Response};
use crate::support::log::Log;
use crate::support::process::PATIENCE;
use crate::support::program::{Program, built};
use crate::support::redis::RedisServer;
use crate::support::servers::{Servers, Topology};

on_each_topology!(
    who_was_logged_in_before_an_outage_is_so_after_it_whatever_was_tried_meanwhile,
    after_a_flush_everybody_is_anonymous_and_no_request_fails,
    a_flush_between_load_and_commit_brings_nothing_back_and_lets_a_login_through,
    a_dump_of_before_a_logout_brings_the_session_back_for_as_long_as_it_would_have_lived,
    a_dump_of_before_a_login_has_no_user_for_its_token,
);

alone_on_each_topology!(a_reader_whose_idle_time_cannot_be_extended_is_answered_all_the_same);

const NOBODY: &str = "views=0 user=- theme=Light note=";

async fn who_was_logged_in_before_an_outage_is_so_after_it_whatever_was_tried_meanwhile(
    topology: Topology,
) {
    let mut site = Site::on(topology).await;
    let _: String = site.redis().command(&["SAVE"]);
    site.redis_mut().stop();
    // Including a logout, whose visitor is told that it was not done.
    site.refused(NOTHING).await;
    site.restart();
    site.goes_on().await;
}

async fn a_reader_whose_idle_time_cannot_be_extended_is_answered_all_the_same(topology: Topology) {
    let log = Log::keep();
    let mut site = Site::on(topology).await;
    site.app.clock.advance(4 * MINUTE);
    let mut reader = site.browser.clone();
    let reading = tokio::spawn(async move { reader.get("/slow/read").await });
    site.app.gate.entered().await;
    site.redis_mut().stop();
    site.app.gate.release();
    let response = reading.await.unwrap();
    assert_eq!((response.status, &*response.text()), (200, "1"));
    assert!(response.set_cookies().is_empty());
    let line = log.wait_for("its idle time could not be extended").await;
    assert_eq!(line.level, Level::Warn);
}

async fn after_a_flush_everybody_is_anonymous_and_no_request_fails(topology: Topology) {
    let servers = Servers::start(topology);
    let app = App::on(&servers, "2s").await;
    let answered = Arc::<AtomicUsize>::default();
    let mut crowd = JoinSet::new();
    for _ in 0..8 {
        let (mut browser, answered) = (app.browser(), Arc::clone(&answered));
        crowd.spawn(async move {
            for step in 0..60 {
                let response = match step % 3 {
                    0 => browser.post("/login/alice", &[]).await,
                    1 => browser.get("/view").await,
                    _ => browser.get("/read").await,
                };
                assert!(matches!(response.status, 200 | 303), "{response:?}");
                answered.fetch_add(1, Ordering::SeqCst);
            }
            browser
        });
    }
    // Each flush hits the requests at another moment.
    for flushes in 1..24 {
        let enough = || answered.load(Ordering::SeqCst) >= 20 * flushes;
        comes_true("the crowd", enough).await;
        servers.tell_all(&["FLUSHALL"]);
        servers.tell_all(&["SCRIPT", "FLUSH"]);
    }
    let browsers = crowd.join_all().await;
    servers.tell_all(&["FLUSHALL"]);
    for mut browser in browsers {
        assert_eq!(browser.get("/read").await.text(), NOBODY);
        assert_eq!(browser.get("/view").await.text(), "1");
    }
}

async fn a_flush_between_load_and_commit_brings_nothing_back_and_lets_a_login_through(
    topology: Topology,
) {
    let servers = Servers::start(topology);
    for (path, status, keys) in [
        ("GET /slow/view", 200, 0),
        ("POST /slow/logout", 200, 0),
        ("POST /slow/login/alice", 200, 1),
    ] {
        servers.tell_all(&["FLUSHALL"]);
        let app = App::on(&servers, "2s").await;
        let mut browser = app.browser();
        browser.get("/view").await;
        let request = match path.split_once(' ').unwrap() {
            ("GET", path) => Request::get(path),
            (_, path) => Request::post(path, &[]),
        };
        let slow = tokio::spawn(async move {
            let response = browser.send(request).await;
            (browser, response)
        });
        app.gate.entered().await;
        servers.tell_all(&["FLUSHALL"]);
        app.gate.release();
        let (mut browser, response) = slow.await.unwrap();
        assert_eq!(response.status, status, "{path}");
        assert_eq!(servers.keys().len(), keys, "{path}");
        let expected = match keys {
            0 => NOBODY,
            _ => "views=0 user=alice theme=Light note=",
        };
        assert_eq!(browser.get("/read").await.text(), expected, "{path}");
    }
}

/// As SECURITY.md says.
async fn a_dump_of_before_a_logout_brings_the_session_back_for_as_long_as_it_would_have_lived(
    topology: Topology,
) {
    let mut servers = Servers::start(topology);
    let app = App::on(&servers, "2s").await;
    let mut browser = app.browser();
    browser.post("/remember/alice", &[]).await;
    browser.get("/view").await;
    let mut old = browser.clone();
    servers.tell_all(&["SAVE"]);
    assert_eq!(browser.post("/logout", &[]).await.status, 303);
    assert_eq!(old.get("/read").await.text(), NOBODY);
    servers.restart();
    let alice = "views=1 user=alice theme=Light note=";
    assert_eq!(old.get("/read").await.text(), alice);
    // It ends at its deadline.
    app.clock.advance(100 * ABSOLUTE);
    assert_eq!(old.get("/read").await.text(), NOBODY);
    assert_eq!(browser.get("/read").await.text(), NOBODY);
}

/// The dump has the anonymous session, but not the login.
async fn a_dump_of_before_a_login_has_no_user_for_its_token(topology: Topology) {
    let mut servers = Servers::start(topology);
    let app = App::on(&servers, "2s").await;
    let mut browser = app.browser();
    browser.get("/view").await;
    let mut before = browser.clone();
    servers.tell_all(&["SAVE"]);
    browser.post("/login/alice", &[]).await;
    browser.get("/note/secret").await;
    servers.restart();
    assert_eq!(browser.get("/read").await.text(), NOBODY);
    let anonymous = "views=1 user=- theme=Light note=";
    assert_eq!(before.get("/read").await.text(), anonymous);
}

#[tokio::test]
async fn a_browser_that_goes_away_leaves_its_request_to_finish() {
    let app = App::on_redis().await;
    for (request, field, expected) in [
        (Request::get("/slow/view"), "views", "2"),
        (Request::post("/slow/login/alice", &[]), "user", "\"alice\""),
    ] {
        let _: String = app.redis().command(&["FLUSHALL"]);
        let mut browser = app.browser();
        browser.get("/view").await;
        let key = app.redis().keys().pop().unwrap();
        let mut connection = Connection::open(browser.address()).await.unwrap();
        let request = request.cookies(&browser.jar);
        let sending = tokio::spawn(async move {
            connection.send(&request).await;
        });
        app.gate.entered().await;
        // Drops the connection with the task.
        sending.abort();
        assert!(sending.await.unwrap_err().is_cancelled());
        app.gate.release();
        let stored = || -> Option<String> { app.redis().command(&["HGET", &key, field]) };
        comes_true(field, || stored().as_deref() == Some(expected)).await;
        // A browser that heard nothing logs in again.
        assert_eq!(browser.post("/login/alice", &[]).await.status, 303);
        let read = browser.get("/read").await.text();
        assert!(read.contains("user=alice"), "{read}");
    }
}

/// A program with a commit that the server has received but not done.
struct Committing {
    redis: RedisServer,
    program: Program,
    request: JoinHandle<Option<Response>>,
    browser: Browser,
}

impl Committing {
    async fn new() -> Self {
        let redis = RedisServer::start();
        let program = Program::start(&built("counter"), Some(&redis));
        let mut browser = program.browser();
        browser.post("/login", &[("user", "Ann")]).await;
        assert_eq!(browser.get("/count").await.text(), "Number of views 1");
        // Until the test says otherwise.
        let _: String = redis.command(&["CLIENT", "PAUSE", "60000", "WRITE"]);
        let mut connection = Connection::open(browser.address()).await.unwrap();
        let count = Request::get("/count").cookies(&browser.jar);
        let request = tokio::spawn(async move { connection.try_send(&count).await });
        comes_true("a commit that waits", || {
            let clients: String = redis.command(&["CLIENT", "LIST"]);
            let waits = |line: &str| line.contains("flags=b") && line.contains("cmd=evalsha");
            clients.lines().any(waits)
        })
        .await;
        Self {
            redis,
            program,
            request,
            browser,
        }
    }
}

fn go_on(redis: &RedisServer) {
    let _: String = redis.command(&["CLIENT", "UNPAUSE"]);
}

#[tokio::test]
async fn a_program_that_is_told_to_end_finishes_its_requests() {
    let Committing {
        redis,
        mut program,
        request,
        mut browser,
    } = Committing::new().await;
    program.signal("TERM");
    comes_true("the end to begin", || program.log().contains("SIGTERM")).await;
    go_on(&redis);
    let text = request.await.unwrap().map(|response| response.text());
    assert_eq!(text.as_deref(), Some("Number of views 2"));
    program.wait_for_end();
    let again = Program::start(&built("counter"), Some(&redis));
    browser.go_to(again.address());
    assert_eq!(browser.get("/count").await.text(), "Number of views 3");
    assert_eq!(browser.get("/session").await.json()["user"], "Ann");
}

#[tokio::test]
async fn a_program_that_is_killed_leaves_what_was_or_what_was_to_be() {
    let Committing {
        redis,
        mut program,
        request,
        mut browser,
    } = Committing::new().await;
    program.signal("KILL");
    program.wait_for_end();
    assert!(request.await.unwrap().is_none());
    go_on(&redis);
    assert_eq!(redis.keys().len(), 1);
    assert!(redis.ttls().values().all(|ttl| *ttl > 0));
    let again = Program::start(&built("counter"), Some(&redis));
    browser.go_to(again.address());
    let session = browser.get("/session").await.json();
    assert_eq!(session["user"], "Ann");
    let views = session["views"].as_u64().unwrap();
    assert!((1..=2).contains(&views), "{views}");
    let next = format!("Number of views {}", views + 1);
    assert_eq!(browser.get("/count").await.text(), next);
}

/// Waits without blocking the requests on the test's own runtime.
async fn comes_true(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
