//! What requests cost on the wire and in Redis' memory.

use std::time::{Duration, Instant};

use crate::app::App;
use crate::support::http::{Connection, Request};
use crate::support::redis::Received;

#[tokio::test]
async fn requests_pay_for_nothing_but_their_own_commands() {
    let app = App::on_redis().await;
    let mut browser = app.browser();
    browser.get("/view").await;
    browser.get("/view").await;
    let monitor = app.redis().monitor();
    for _ in 0..10 {
        browser.get("/read").await;
        browser.get("/view").await;
    }
    // A PING, an UNWATCH or a CLIENT would show here.
    let received = monitor.take();
    let names: Vec<&str> = received.iter().map(Received::name).collect();
    assert_eq!(names, ["HMGET", "HMGET", "EVALSHA"].repeat(10));
    let clients: std::collections::HashSet<_> = received.iter().map(|one| &one.client).collect();
    assert_eq!(clients.len(), 1, "and all share one connection");
}

#[tokio::test]
async fn a_session_in_use_stays_small() {
    let app = App::on_redis().await;
    let mut browser = app.browser();
    for _ in 0..10 {
        browser.get("/view").await;
    }
    let key = app.redis().keys().pop().unwrap();
    let encoding: String = app.redis().command(&["OBJECT", "ENCODING", &key]);
    assert_eq!(encoding, "listpack");
}

/// A `Cookie` header of pairs that look like sessions' and like nothing.
fn noise(bytes: usize) -> String {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = move |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    let symbols = b"ABCabc019-_=*%\"\\,. {}";
    let mut noise = String::new();
    while noise.len() < bytes {
        noise += ["visit=", "visit", "=", "x=", "__Host-visit=", ""][random(6) as usize];
        for _ in 0..random(100) {
            noise.push(char::from(symbols[random(symbols.len() as u64) as usize]));
        }
        noise += "; ";
    }
    noise.truncate(bytes);
    noise
}

#[tokio::test]
async fn as_many_cookies_as_fit_cost_no_time_and_no_command() {
    let app = App::on_redis().await;
    let monitor = app.redis().monitor();
    let request = Request::get("/read").header("Cookie", noise(400_000));
    let mut connection = Connection::open(app.browser().address()).await.unwrap();
    let began = Instant::now();
    let response = connection.send(&request).await;
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(response.status, 200);
    assert!(response.text().starts_with("views=0"));
    assert_eq!(monitor.take(), []);
}
