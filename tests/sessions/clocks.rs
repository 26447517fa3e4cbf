//! The application's machines may have wrong clocks: time is the server's.

use std::net::TcpStream;

use crate::app::{Visit, rocket};
use crate::support::clock::WallClock;
use crate::support::http::Server;
use crate::support::own::configured;
use crate::support::process::wait_for;
use crate::support::program::{Program, built};
use crate::support::redis::RedisServer;

/// The server is down at the launch, so its time is unknown when the first session begins.
#[tokio::test]
async fn a_session_that_begins_before_the_servers_time_was_heard_lives_by_it() {
    let mut redis = RedisServer::start();
    let counter = built("counter");
    redis.stop();
    let wrong = Program::with_clock("-31m", &counter, &redis);
    redis.restart();
    let mut browser = wrong.browser();
    browser.post("/login", &[("user", "Ann")]).await;
    let session = browser.get("/session").await.json();
    assert_eq!(session["user"], "Ann");
}

#[tokio::test]
async fn machines_whose_clocks_are_31_minutes_apart_log_nobody_out() {
    let redis = RedisServer::start();
    let counter = built("counter");
    let right = Program::start(&counter, Some(&redis));
    for offset in ["+31m", "-31m", "+400d"] {
        let wrong = Program::with_clock(offset, &counter, &redis);
        for (first, second) in [(&right, &wrong), (&wrong, &right)] {
            let mut browser = first.browser();
            browser.post("/login", &[("user", "Ann")]).await;
            let before = browser.jar.clone();
            for (views, machine) in [(1, second), (2, first), (3, second), (4, first)] {
                browser.go_to(machine.address());
                browser.get("/count").await;
                let session = browser.get("/session").await.json();
                assert_eq!(session["views"], views, "{offset}");
                assert_eq!(session["user"], "Ann", "{offset}");
            }
            assert_eq!(browser.jar, before, "no new session");
        }
        for (key, ttl) in redis.ttls() {
            // Half an hour of idle time, and two minutes of slack.
            let expected = 31 * 60 * 1000..=32 * 60 * 1000;
            assert!(expected.contains(&ttl), "{key}: {ttl} ms");
        }
    }
}

#[tokio::test]
async fn a_machine_whose_clock_is_set_logs_nobody_out() {
    let redis = RedisServer::start();
    let clock = WallClock::new();
    let program = Program::with_wall_clock(&clock, &built("counter"), Some(&redis));
    let mut browser = program.browser();
    browser.post("/login", &[("user", "Ann")]).await;
    let before = browser.jar.clone();
    for (views, offset) in [(1, "+1d"), (2, "-1d"), (3, "+31m"), (4, "-31m"), (5, "+0")] {
        clock.set(offset);
        let text = browser.get("/count").await.text();
        assert_eq!(text, format!("Number of views {views}"), "{offset}");
        assert_eq!(browser.get("/session").await.json()["user"], "Ann");
        for (key, ttl) in redis.ttls() {
            let expected = 31 * 60 * 1000..=32 * 60 * 1000;
            assert!(expected.contains(&ttl), "{offset}: {key}: {ttl} ms");
        }
    }
    assert_eq!(browser.jar, before);
}

/// Proves that the program above sees its clock being set.
#[tokio::test]
async fn sessions_in_memory_live_by_the_clock_of_their_machine() {
    let clock = WallClock::new();
    let program = Program::with_wall_clock(&clock, &built("counter"), None);
    let mut browser = program.browser();
    browser.post("/login", &[("user", "Ann")]).await;
    for (offset, user) in [("-1d", "\"Ann\""), ("+29m", "\"Ann\""), ("+1d", "null")] {
        clock.set(offset);
        let response = browser.get("/session").await;
        assert_eq!(response.status, 200, "{offset}");
        assert_eq!(response.json()["user"].to_string(), user, "{offset}");
    }
}

/// No session outlives its absolute deadline.
#[tokio::test]
async fn a_server_whose_clock_is_set_ends_sessions_early_or_late_and_fails_no_request() {
    let redis = RedisServer::start_with_clock();
    let rocket = configured(rocket(), "databases.sessions.url", &redis.url());
    let server = Server::launch(rocket.attach(Visit::fairing())).await;
    let mut browser = server.browser();
    browser.post("/login/alice", &[]).await;
    let mut views = 0;
    // No step forward is longer than the idle time.
    for offset in ["+20m", "+45m", "-1h", "-30m", "-5m", "+0", "+29m"] {
        redis.clock().set(offset);
        views += 1;
        let response = browser.get("/view").await;
        let seen = (response.status, response.text());
        assert_eq!(seen, (200, views.to_string()), "{offset}");
        let read = browser.get("/read").await.text();
        assert!(read.contains("user=alice"), "{offset}: {read}");
    }
    for offset in ["+2h", "+13h"] {
        redis.clock().set(offset);
        let response = browser.get("/read").await;
        let nobody = "views=0 user=- theme=Light note=";
        assert_eq!((response.status, &*response.text()), (200, nobody));
        assert_eq!(browser.get("/view").await.text(), "1", "{offset}");
    }
}

/// `faketime` runs the program as a child, which outlives it unless it is ended too.
#[test]
fn a_program_whose_clock_is_off_ends_with_its_test() {
    let redis = RedisServer::start();
    let program = Program::with_clock("+1m", &built("counter"), &redis);
    let address = program.address();
    assert!(TcpStream::connect(address).is_ok());
    drop(program);
    wait_for("the end of the program", || {
        TcpStream::connect(address).err()
    });
}
