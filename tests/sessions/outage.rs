//! When the store is down: 503 within the deadline, the cookie left alone, recovery by itself.

use std::time::Instant;

use crate::app::MINUTE;
use crate::site::{DEADLINE, Site, key, on_each_topology, on_each_topology_but_a_cluster};
use crate::support::http::Request;
use crate::support::servers::{Servers, Topology};

on_each_topology!(
    what_needs_its_session_is_unavailable_and_the_rest_does_not_notice,
    a_frozen_server_costs_each_request_its_deadline_and_no_more,
    a_commit_that_fails_is_told_by_the_applications_catcher,
    the_session_survives_an_outage_of_the_connection,
    a_full_server_refuses_data_and_still_ends_and_extends_sessions,
    what_is_no_session_under_a_sessions_key_is_none,
);

// A replica in a cluster names its master instead.
on_each_topology_but_a_cluster!(a_connection_to_a_server_that_is_a_replica_now_is_replaced);

async fn what_needs_its_session_is_unavailable_and_the_rest_does_not_notice(topology: Topology) {
    let mut site = Site::on(topology).await;
    let mut browser = site.browser.clone();
    let jar = browser.jar.clone();
    // All servers: a new session could be on any.
    site.servers.stop();
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
    let mut stranger = site.app.browser();
    assert_eq!(stranger.get("/read").await.status, 200);
    stranger.jar.set("visit", "junk");
    assert_eq!(stranger.get("/read").await.status, 200);
    // Nothing can be stored either, and no cookie claims it.
    stranger.jar = Default::default();
    let response = stranger.get("/view").await;
    assert_eq!(response.status, 503);
    assert!(response.set_cookies().is_empty());

    site.servers.restart();
    assert_eq!(browser.get("/view").await.status, 200);
    assert_eq!(stranger.get("/view").await.status, 200);
}

async fn a_frozen_server_costs_each_request_its_deadline_and_no_more(topology: Topology) {
    let mut site = Site::on(topology).await;
    let mut browser = site.another().await;
    site.redis().pause();
    let began = Instant::now();
    let requests = (0..50).map(|_| {
        let mut browser = browser.clone();
        tokio::spawn(async move { browser.get("/view").await.status })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap(), 503);
    }
    assert!(began.elapsed() < DEADLINE * 3, "{:?}", began.elapsed());
    site.goes_on_elsewhere().await;
    site.redis().resume();
    let mut status = 503;
    let began = Instant::now();
    while status == 503 && began.elapsed() < 5 * DEADLINE {
        status = browser.get("/view").await.status;
    }
    assert_eq!(status, 200);
    assert!(began.elapsed() < 2 * DEADLINE, "{:?}", began.elapsed());
}

async fn a_commit_that_fails_is_told_by_the_applications_catcher(topology: Topology) {
    let mut site = Site::on(topology).await;
    let mut answers = Vec::new();
    for slow in [
        Request::get("/slow/view"),
        Request::post("/slow/login/eve", &[]),
        Request::post("/slow/logout", &[]),
    ] {
        let mut browser = site.another().await;
        answers.push(tokio::spawn(async move { browser.send(slow).await }));
        site.app.gate.entered().await;
    }
    site.redis_mut().stop();
    for answer in answers {
        site.app.gate.release();
        let response = answer.await.unwrap();
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
        site.goes_on_elsewhere().await;
    }
}

async fn the_session_survives_an_outage_of_the_connection(topology: Topology) {
    let site = Site::on(topology).await;
    let mut browser = site.another().await;
    for _ in 0..3 {
        site.redis().end_connections();
        assert_eq!(browser.get("/result").await.status, 200);
    }
    assert_eq!(browser.get("/view").await.text(), "2");
}

async fn a_full_server_refuses_data_and_still_ends_and_extends_sessions(topology: Topology) {
    // A touch that times out is only logged, and the session ends: hence 5 s.
    let mut site = Site::within("5s", Servers::start(topology)).await;
    let mut browser = site.another().await;
    let (mut leaving, mut staying) = (site.another().await, browser.clone());
    let _: String = site.redis().command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(browser.get("/view").await.status, 503);
    assert_eq!(browser.get("/note/x").await.status, 503);
    site.goes_on_elsewhere().await;
    assert_eq!(browser.get("/result").await.text(), "views=1");
    assert_eq!(leaving.post("/logout", &[]).await.status, 303);
    for _ in 0..3 {
        site.app.clock.advance(20 * MINUTE);
        assert_eq!(staying.get("/result").await.text(), "views=1");
    }
    let _: String = site.redis().command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(browser.get("/view").await.text(), "2");
}

/// After a failover, the old connection does not lead to the new master, though the name may.
async fn a_connection_to_a_server_that_is_a_replica_now_is_replaced(topology: Topology) {
    let site = Site::on(topology).await;
    let redis = site.redis();
    let mut browser = site.another().await;
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
    // A replica's data may be old.
    assert_eq!(browser.get("/result").await.text(), "store=true");
    let _: String = redis.command(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(browser.get("/view").await.text(), "2");
}

async fn what_is_no_session_under_a_sessions_key_is_none(topology: Topology) {
    let site = Site::on(topology).await;
    let redis = site.redis();
    for command in [
        vec!["SET", "KEY", "x"],
        vec!["RPUSH", "KEY", "x"],
        vec!["HSET", "KEY", "@", "x"],
        vec!["HSET", "KEY", "views", "7"],
    ] {
        let mut browser = site.another().await;
        let key = key(&mut browser).await;
        let _: i64 = redis.command(&["DEL", &key]);
        let command: Vec<&str> = command
            .iter()
            .map(|word| if *word == "KEY" { &*key } else { word })
            .collect();
        let _: rocket_typed_session::deadpool_redis::redis::Value = redis.command(&command);
        assert_eq!(browser.get("/result").await.text(), "views=0");
        let kind = || -> String { redis.command(&["TYPE", &key]) };
        let before = (kind(), site.servers.keys().len());
        assert_eq!(browser.get("/view").await.text(), "1");
        let keys = site.servers.keys().len();
        assert_eq!(keys, before.1 + 1, "a new session has another id");
        assert_eq!(kind(), before.0, "and what was there stays");
    }
}
