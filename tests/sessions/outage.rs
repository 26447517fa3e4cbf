//! When the store is down: 503 within the deadline, the cookie left alone, recovery by itself.

use std::time::{Duration, Instant};

use crate::app::App;
use crate::support::http::Request;

const DEADLINE: Duration = Duration::from_millis(500);

async fn app() -> App {
    App::on_redis_with_timeout("500ms").await
}

#[tokio::test]
async fn what_needs_its_session_is_unavailable_and_the_rest_does_not_notice() {
    let mut app = app().await;
    let mut browser = app.browser();
    browser.get("/view").await;
    let jar = browser.jar.clone();
    app.redis_mut().stop();
    for path in ["/read", "/view", "/save"] {
        let began = Instant::now();
        let response = browser.get(path).await;
        assert!(
            began.elapsed() < DEADLINE * 2,
            "{path}: {:?}",
            began.elapsed()
        );
        assert_eq!(
            (response.status, response.text().as_str()),
            (503, "caught 503"),
            "{path}"
        );
        assert!(response.set_cookies().is_empty(), "{path}");
    }
    assert_eq!(browser.get("/result").await.text(), "store=true");
    assert_eq!(browser.get("/static").await.status, 200);
    assert_eq!(browser.jar, jar);
    // Who brings no token has nothing to be read.
    let mut stranger = app.browser();
    assert_eq!(stranger.get("/read").await.status, 200);
    stranger.jar.set("visit", "junk");
    assert_eq!(stranger.get("/read").await.status, 200);
    // But nothing can be stored either, and no cookie says that it was.
    stranger.jar = Default::default();
    let response = stranger.get("/view").await;
    assert_eq!(response.status, 503);
    assert!(response.set_cookies().is_empty());

    app.redis_mut().restart();
    assert_eq!(browser.get("/view").await.status, 200);
    assert_eq!(stranger.get("/view").await.status, 200);
}

#[tokio::test]
async fn a_frozen_server_costs_each_request_its_deadline_and_no_more() {
    let app = app().await;
    let mut browser = app.browser();
    browser.get("/view").await;
    app.redis().pause();
    let began = Instant::now();
    let requests = (0..50).map(|_| {
        let mut browser = browser.clone();
        tokio::spawn(async move { browser.get("/view").await.status })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap(), 503);
    }
    assert!(began.elapsed() < DEADLINE * 3, "{:?}", began.elapsed());
    app.redis().resume();
    let mut status = 503;
    let began = Instant::now();
    while status == 503 && began.elapsed() < 5 * DEADLINE {
        status = browser.get("/view").await.status;
    }
    assert_eq!(status, 200);
    assert!(began.elapsed() < 2 * DEADLINE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_commit_that_fails_is_told_by_the_applications_catcher() {
    let mut app = app().await;
    let mut browser = app.browser();
    browser.get("/view").await;
    let jar = browser.jar.clone();
    for slow in [
        Request::get("/slow/view"),
        Request::post("/slow/login/eve", &[]),
        Request::post("/slow/logout", &[]),
    ] {
        let mut other = browser.clone();
        let request = tokio::spawn(async move { other.send(slow).await });
        app.gate.entered().await;
        app.redis_mut().stop();
        app.gate.release();
        let response = request.await.unwrap();
        assert_eq!(
            (response.status, response.text().as_str()),
            (503, "caught 503")
        );
        assert!(response.set_cookies().is_empty(), "{response:?}");
        assert_eq!(response.header("Location"), None);
        assert_eq!(
            response.header("X-Mark"),
            Some("seen"),
            "later fairings see the response"
        );
        app.redis_mut().restart();
        browser.jar = jar.clone();
        browser.jar = Default::default();
        browser.get("/view").await;
    }
}

#[tokio::test]
async fn the_session_survives_an_outage_of_the_connection() {
    let app = app().await;
    let mut browser = app.browser();
    browser.get("/view").await;
    for kind in ["normal", "normal", "normal"] {
        let _: i64 = app
            .redis()
            .command(&["CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes"]);
        assert_eq!(browser.get("/result").await.status, 200);
    }
    assert_eq!(browser.get("/view").await.text(), "2");
}

#[tokio::test]
async fn a_full_server_refuses_data_and_still_ends_and_extends_sessions() {
    let app = app().await;
    let mut browser = app.browser();
    browser.get("/view").await;
    let (mut leaving, mut staying) = (app.browser(), browser.clone());
    leaving.get("/view").await;
    let _: String = app.redis().command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(browser.get("/view").await.status, 503);
    assert_eq!(browser.get("/note/x").await.status, 503);
    assert_eq!(browser.get("/result").await.text(), "views=1");
    assert_eq!(leaving.post("/logout", &[]).await.status, 303);
    for _ in 0..3 {
        app.clock.advance(20 * crate::app::MINUTE);
        assert_eq!(staying.get("/result").await.text(), "views=1");
    }
    let _: String = app.redis().command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(browser.get("/view").await.text(), "2");
}

/// After a failover, the name may already lead to the new master; the old connection does not.
#[tokio::test]
async fn a_connection_to_a_server_that_is_a_replica_now_is_replaced() {
    let app = app().await;
    let redis = app.redis();
    let mut browser = app.browser();
    browser.get("/view").await;
    let connected = || -> u64 {
        let info: String = redis.command(&["INFO", "stats"]);
        let mut lines = info.lines();
        let count = lines.find_map(|line| line.strip_prefix("total_connections_received:"));
        count.unwrap().parse().unwrap()
    };
    let _: String = redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    let before = connected();
    assert_eq!(browser.get("/view").await.status, 503);
    assert!(connected() > before);
    // What it still has may be old by now.
    assert_eq!(browser.get("/result").await.text(), "store=true");
    let _: String = redis.command(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(browser.get("/view").await.text(), "2");
}

#[tokio::test]
async fn what_is_no_session_under_a_sessions_key_is_none() {
    let app = app().await;
    let redis = app.redis();
    for command in [
        vec!["SET", "KEY", "x"],
        vec!["RPUSH", "KEY", "x"],
        vec!["HSET", "KEY", "@", "x"],
        vec!["HSET", "KEY", "views", "7"],
    ] {
        let mut browser = app.browser();
        browser.get("/view").await;
        let key = redis.keys().pop().unwrap();
        let _: i64 = redis.command(&["DEL", &key]);
        let command: Vec<&str> = command
            .iter()
            .map(|word| if *word == "KEY" { &*key } else { word })
            .collect();
        let _: rocket_typed_session::deadpool_redis::redis::Value = redis.command(&command);
        assert_eq!(browser.get("/result").await.text(), "views=0");
        let kind = || -> String { redis.command(&["TYPE", &key]) };
        let before = kind();
        assert_eq!(browser.get("/view").await.text(), "1");
        assert_eq!(redis.keys().len(), 2, "a new session has another id");
        assert_eq!(kind(), before, "and what was there stays");
        let _: String = redis.command(&["FLUSHALL"]);
    }
}
