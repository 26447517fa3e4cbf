//! Which keys a script touches: the one that it names.
//!
//! In a cluster, a session and its user's index may be on different servers, and no script can touch both.
//! Each atomic step is therefore about one key. `topologies` tests real clusters.

use std::collections::{BTreeMap, BTreeSet};

use rocket::{get, post, routes};
use rocket_typed_session::{Error, Session, SessionId, Sessions, session};

use crate::support::http::{Browser, Server};
use crate::support::own::{configured, quiet};
use crate::support::redis::{Received, RedisServer};

#[session(cookie = "visit", max_sessions = 3)]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(identity, guard(Member, status = 401))]
    user: Option<String>,
    #[session(entries)]
    cart: BTreeMap<String, u32>,
    #[session(once, ttl = "5m")]
    notice: Option<String>,
}

#[get("/user")]
fn user(visit: Session<Visit>) -> String {
    visit.user.clone().unwrap_or_default()
}

#[post("/use")]
fn make_use(mut visit: Session<Visit>) {
    visit.views += 1;
    visit.cart.insert("tea".into(), 1);
    visit.notice = Some("used".into());
    visit.rotate_token();
}

#[post("/take")]
async fn take(mut visit: Session<Visit>) -> Result<String, Error> {
    Ok(Visit::take_notice(&mut visit).await?.unwrap_or_default())
}

#[post("/login/<user>")]
fn login(mut visit: Session<Visit>, user: String) {
    visit.log_in(user);
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) {
    visit.destroy();
}

#[get("/others")]
async fn others(member: Member, sessions: Sessions<Visit>) -> Result<String, Error> {
    let list = sessions.of(member.clone()).list().await?;
    let others = list.iter().filter(|session| !session.is_current);
    let ids: Vec<_> = others.map(|session| session.id.to_string()).collect();
    Ok(ids.join(" "))
}

#[post("/end/<id>")]
async fn end(id: SessionId, member: Member, sessions: Sessions<Visit>) -> Result<String, Error> {
    Ok(sessions.of(member.clone()).end(id).await?.to_string())
}

#[post("/end-all")]
async fn end_all(member: Member, sessions: Sessions<Visit>) -> Result<String, Error> {
    Ok(sessions.of(member.clone()).end_all().await?.to_string())
}

async fn launch(redis: &RedisServer) -> Server {
    let rocket = configured(quiet(), "databases.sessions.url", &redis.url());
    let rocket = rocket.attach(Visit::fairing());
    let routes = routes![user, make_use, take, login, logout, others, end, end_all];
    Server::launch(rocket.mount("/", routes)).await
}

async fn done(browser: &mut Browser, path: &str) -> String {
    let response = browser.post(path, &[]).await;
    assert_eq!(response.status, 200, "{path}");
    response.text()
}

/// A cluster node refuses a script that names keys of two slots, but does not see the keys that a script
/// touches without naming them. A monitor does.
#[tokio::test]
async fn each_script_touches_the_one_key_that_it_names() {
    let redis = RedisServer::start_cluster();
    let monitor = redis.monitor();
    let server = launch(&redis).await;
    let mut browsers = Vec::new();
    for _ in 0..4 {
        let mut browser = server.browser();
        for path in ["/use", "/login/ann", "/use", "/login/ann"] {
            done(&mut browser, path).await;
        }
        assert_eq!(done(&mut browser, "/take").await, "used");
        browsers.push(browser);
    }
    // With all keys in one slot, this would test nothing.
    let slot = |key: &String| redis.command::<u16>(&["CLUSTER", "KEYSLOT", key]);
    let slots: BTreeSet<u16> = redis.all_keys().iter().map(slot).collect();
    assert!(slots.len() > 1, "{slots:?}");

    let mut last = browsers.pop().unwrap();
    assert_eq!(browsers[0].get("/user").await.text(), "");
    let others = last.get("/others").await.text();
    let others: Vec<_> = others.split(' ').collect();
    assert_eq!(others.len(), 2);
    assert_eq!(
        done(&mut last, &format!("/end/{}", others[0])).await,
        "true"
    );
    done(&mut last, "/login/bob").await;
    done(&mut last, "/logout").await;
    for browser in &mut browsers {
        if browser.get("/user").await.text() == "ann" {
            assert_eq!(done(browser, "/end-all").await, "1");
        }
    }
    assert_eq!(redis.keys(), [""; 0]);
    assert_one_key_each(&monitor.take_all());
}

fn assert_one_key_each(commands: &[Received]) {
    let mut named = None;
    let mut calls = 0;
    for command in commands {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        match words[..] {
            ["TIME"] => {}
            ["EVAL" | "EVALSHA", _, count, key, ..] => {
                assert_eq!(count, "1", "{command}");
                named = Some(key);
            }
            [_, key, ..] if command.is_in_script() => {
                assert_eq!(Some(key), named, "{command}");
                calls += 1;
            }
            _ => named = None,
        }
    }
    assert!(calls > 100, "{calls}");
}

/// So the test above fails if a script names two keys.
#[tokio::test]
async fn a_script_that_names_keys_of_two_slots_is_refused() {
    let redis = RedisServer::start_cluster();
    let refusal = redis.refusal(&["EVAL", "return 1", "2", "one", "other"]);
    assert!(refusal.contains("same slot"), "{refusal}");
}
