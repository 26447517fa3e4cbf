//! The clocks of the machines that an application runs on do not matter: time is the server's.

use std::net::TcpStream;

use crate::support::process::wait_for;
use crate::support::program::{Program, built};
use crate::support::redis::RedisServer;

/// The server was down at the launch, so nobody has heard its time when the first session begins.
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

/// By more than the idle time, either way.
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

/// `faketime` starts the program as a child of its own, which outlives it unless it is ended too.
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
