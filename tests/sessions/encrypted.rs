//! Encrypted fields: with the store alone, nobody reads or moves them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rocket::figment::Figment;
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket, get, post, routes};
use rocket_typed_session::{Error, Session, TransactError, session};
use session_core::testing::ManualClock;

use crate::redis::commands;
use crate::support::http::{Browser, Server};
use crate::support::log::{Log, alone};
use crate::support::own::{configured, on_all_stores, quiet};
use crate::support::redis::RedisServer;

#[session(cookie = "visit")]
struct Visit {
    #[session(identity)]
    user: Option<String>,
    #[session(encrypted, max_size = "1KiB")]
    token: String,
    #[session(encrypted, keep)]
    address: Option<String>,
    #[session(encrypted, entries)]
    grants: BTreeMap<String, String>,
    #[session(encrypted, once, ttl = "5m")]
    code: Option<u32>,
    note: String,
}

#[session(cookie = "strict")]
struct Strict {
    #[session(encrypted, on_unreadable = "drop_session")]
    secret: String,
    plain: u32,
}

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    let address = visit.address.as_deref().unwrap_or("-");
    format!(
        "{} {address} {:?} {:?} {}",
        visit.token, visit.grants, visit.code, visit.note
    )
}

#[post("/token/<value>")]
fn token(mut visit: Session<Visit>, value: String) {
    visit.token = value;
}

#[post("/all/<value>")]
fn all(mut visit: Session<Visit>, value: String) {
    visit.token = value.clone();
    visit.address = Some(value.clone());
    visit.grants.insert("mail".into(), value);
    visit.code = Some(7);
}

#[post("/note/<value>")]
fn note(mut visit: Session<Visit>, value: String) {
    visit.note = value;
}

#[post("/same")]
fn same(mut visit: Session<Visit>) {
    visit.token = visit.token.clone();
}

#[post("/login/<user>")]
fn login(mut visit: Session<Visit>, user: String) {
    visit.log_in(user);
}

#[post("/take")]
async fn take(mut visit: Session<Visit>) -> Result<String, Error> {
    Ok(format!("{:?}", Visit::take_code(&mut visit).await?))
}

#[post("/append")]
async fn append(mut visit: Session<Visit>) -> Result<(), TransactError<Error>> {
    let append = |visit: &mut Visit| {
        visit.token.push('x');
        Ok(())
    };
    visit.transact(append).await
}

#[get("/strict")]
fn strict(strict: Session<Strict>) -> String {
    format!("{} {}", strict.secret, strict.plain)
}

#[post("/strict")]
fn strict_on(mut strict: Session<Strict>) {
    strict.secret = "hidden".into();
    strict.plain += 1;
}

fn app(rocket: Rocket<Build>) -> Rocket<Build> {
    let rocket = rocket.attach(Visit::fairing()).attach(Strict::fairing());
    let rocket = rocket.mount(
        "/",
        routes![read, token, all, note, same, login, take, append],
    );
    rocket.mount("/", routes![strict, strict_on])
}

/// A base64 key; its last digit has two spare bits.
fn key(letter: char) -> String {
    format!("{}=", letter.to_string().repeat(43))
}

async fn server(redis: &RedisServer, keys: &[char]) -> Server {
    let keys: Vec<String> = keys.iter().copied().map(key).collect();
    let rocket = configured(quiet(), "databases.sessions.url", &redis.url());
    let figment = rocket.figment().clone();
    let figment = figment.merge(("sessions.encryption_keys", keys));
    Server::launch(app(rocket.configure(figment))).await
}

fn stored(redis: &RedisServer, field: &str) -> Vec<u8> {
    let [key] = &redis.keys()[..] else {
        panic!("{:?}", redis.keys())
    };
    redis.command(&["HGET", key, field])
}

fn plant(redis: &RedisServer, key: &str, field: &str, value: &[u8]) {
    let command: [&[u8]; 4] = [b"HSET", key.as_bytes(), field.as_bytes(), value];
    let _: i64 = redis.command_of_bytes(&command);
}

#[tokio::test]
async fn an_encrypted_field_is_used_like_any_other() {
    on_all_stores(app, async |server| {
        let mut browser = server.browser();
        browser.post("/all/one", &[]).await;
        let expected = "one one {\"mail\": \"one\"} Some(7) ";
        assert_eq!(browser.get("/read").await.text(), expected);
        browser.post("/append", &[]).await;
        browser.post("/append", &[]).await;
        let expected = "onexx one {\"mail\": \"one\"} Some(7) ";
        assert_eq!(browser.get("/read").await.text(), expected);
        assert_eq!(browser.post("/take", &[]).await.text(), "Some(7)");
        assert_eq!(browser.post("/take", &[]).await.text(), "None");
        // What a login keeps is sealed again for the next session's id.
        browser.post("/login/alice", &[]).await;
        browser.post("/login/bob", &[]).await;
        assert_eq!(browser.get("/read").await.text(), " one {} None ");
        let large = "x".repeat(2000);
        assert_eq!(
            browser.post(&format!("/token/{large}"), &[]).await.status,
            413
        );
    })
    .await;
}

#[tokio::test]
async fn transactions_that_meet_lose_nothing() {
    on_all_stores(app, async |server| {
        let mut browser = server.browser();
        browser.post("/token/-", &[]).await;
        let appending = (0..5).map(|_| {
            let mut browser = browser.clone();
            tokio::spawn(async move { browser.post("/append", &[]).await.status })
        });
        for appending in appending.collect::<Vec<_>>() {
            assert_eq!(appending.await.unwrap(), 200);
        }
        let read = browser.get("/read").await.text();
        assert!(read.starts_with("-xxxxx "), "{read}");
    })
    .await;
}

#[tokio::test]
async fn the_store_sees_no_plain_value() {
    let redis = RedisServer::start();
    let server = server(&redis, &['A']).await;
    let mut browser = server.browser();
    browser.post("/all/attack-at-dawn", &[]).await;
    browser.post("/note/plain-text", &[]).await;
    browser.post("/login/alice", &[]).await;
    browser.post("/login/bob", &[]).await;
    let holds = |text: &str| {
        let entries = redis.dump_all();
        let values = entries.iter().flat_map(|entry| &entry.values);
        let holds = |value: &&Vec<u8>| String::from_utf8_lossy(value).contains(text);
        values.filter(holds).count()
    };
    assert_eq!(holds("dawn"), 0);
    browser.post("/note/plain-text", &[]).await;
    assert_eq!(holds("plain-text"), 1);
    server.stop().await;
}

/// A change is a change of the plain value.
#[tokio::test]
async fn what_did_not_change_is_not_sealed_again() {
    let redis = RedisServer::start();
    let server = server(&redis, &['A']).await;
    let mut browser = server.browser();
    browser.post("/token/one", &[]).await;
    let before = stored(&redis, "token");
    let monitor = redis.monitor();
    browser.post("/same", &[]).await;
    assert_eq!(commands(&monitor), ["HGETALL"]);
    drop(monitor);
    browser.post("/note/other", &[]).await;
    assert_eq!(stored(&redis, "token"), before);
    browser.post("/token/two", &[]).await;
    assert_ne!(stored(&redis, "token"), before);
    assert!(browser.get("/read").await.text().starts_with("two "));
    server.stop().await;
}

#[tokio::test]
async fn a_value_in_another_place_is_not_read() {
    let redis = RedisServer::start();
    let server = server(&redis, &['A']).await;
    let mut mallory = server.browser();
    mallory.post("/all/mine", &[]).await;
    let own = redis.keys().pop().unwrap();
    let (token, grant) = (stored(&redis, "token"), stored(&redis, "grants:mail"));
    let mut alice = server.browser();
    alice.post("/all/hers", &[]).await;
    let keys = redis.keys();
    let hers = keys.iter().find(|key| **key != own).unwrap();
    // From another session, from another field, and without a seal.
    for planted in [&token[..], &grant, b"\"planted\"", b"", b"\x01"] {
        plant(&redis, hers, "token", planted);
        let read = alice.get("/read").await;
        assert_eq!(read.status, 200);
        assert_eq!(read.text(), " hers {\"mail\": \"hers\"} Some(7) ");
    }
    // An entry under another key.
    plant(&redis, &own, "grants:admin", &grant);
    assert_eq!(
        mallory.get("/read").await.text(),
        "mine mine {\"mail\": \"mine\"} Some(7) "
    );
    alice.post("/token/again", &[]).await;
    assert!(alice.get("/read").await.text().starts_with("again "));
    server.stop().await;
}

#[tokio::test]
async fn keys_are_replaced_one_after_the_other() {
    let redis = RedisServer::start();
    let servers = [
        server(&redis, &['A']).await,
        server(&redis, &['E', 'A']).await,
        server(&redis, &['A', 'E']).await,
        server(&redis, &['E']).await,
    ];
    let [old, new, mixed, last] = &servers;
    let mut browser = old.browser();
    browser.post("/token/one", &[]).await;
    let read = async |server: &Server, browser: &mut Browser| {
        browser.go_to(server.address());
        let read = browser.get("/read").await;
        assert_eq!(read.status, 200);
        read.text().split(' ').next().unwrap().to_owned()
    };
    for (server, expected) in [(old, "one"), (new, "one"), (mixed, "one"), (last, "")] {
        assert_eq!(read(server, &mut browser).await, expected);
    }
    browser.go_to(new.address());
    browser.post("/token/two", &[]).await;
    for (server, expected) in [(old, ""), (new, "two"), (mixed, "two"), (last, "two")] {
        assert_eq!(read(server, &mut browser).await, expected);
    }
    for server in servers {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_session_that_says_so_is_dropped_with_a_value_that_does_not_open() {
    let redis = RedisServer::start();
    let (one, other) = (server(&redis, &['A']).await, server(&redis, &['E']).await);
    let mut browser = one.browser();
    browser.post("/strict", &[]).await;
    assert_eq!(browser.get("/strict").await.text(), "hidden 1");
    browser.go_to(other.address());
    assert_eq!(browser.get("/strict").await.text(), " 0");
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_deadline_holds_for_it_too() {
    let clock = Arc::new(ManualClock::new());
    let fairing = Visit::fairing().clock(Arc::clone(&clock));
    let rocket = quiet().attach(fairing).mount("/", routes![all, read, note]);
    let server = Server::launch(rocket).await;
    let mut browser = server.browser();
    browser.post("/all/one", &[]).await;
    clock.advance(Duration::from_secs(299));
    assert!(browser.get("/read").await.text().contains("Some(7)"));
    clock.advance(Duration::from_secs(1));
    assert!(browser.get("/read").await.text().contains("None"));
    browser.post("/note/x", &[]).await;
    assert!(browser.get("/read").await.text().ends_with("None x"));
    server.stop().await;
}

fn of_profile(profile: &str) -> Figment {
    let figment = Figment::from(rocket::Config::default()).select(profile);
    figment.merge(("log_level", "off"))
}

#[test]
fn a_launch_needs_keys_that_are_keys_and_tells_none() {
    alone(async || {
        let log = Log::keep();
        let base = || of_profile("release").merge(("databases.x", 1));
        let short = "c2hvcnQgYW5kIHNlY3JldA==";
        for (figment, expected) in [
            (base(), Err("`openssl rand -base64 32`")),
            (
                base().merge(("secret_key", key('Q'))),
                Ok("; `secret` encrypted"),
            ),
            (base().merge(("secret_key", vec![0_u8; 32])), Err("openssl")),
            (
                base().merge(("secret_key", vec![1_u8; 64])),
                Ok("; `secret` encrypted"),
            ),
            (
                base().merge(("secret_key", short)),
                Err("`secret_key`: a key is"),
            ),
            (
                base().merge(("sessions.encryption_keys", vec![key('A'), "0f".repeat(32)])),
                Ok("; `secret` encrypted, 2 keys open"),
            ),
            (
                base().merge(("sessions.strict.encryption_keys", vec![key('A')])),
                Ok("; `secret` encrypted"),
            ),
            (
                base().merge(("sessions.encryption_keys", Vec::<String>::new())),
                Err("openssl"),
            ),
            (
                base().merge(("sessions.encryption_keys", vec![short])),
                Err("`sessions.encryption_keys`: a key is"),
            ),
            (
                base().merge(("sessions.encryption_keys", short)),
                Err("`sessions.encryption_keys` must be a list"),
            ),
            (of_profile("debug"), Ok("; `secret` encrypted")),
        ] {
            let before = log.lines().len();
            let rocket = rocket::custom(figment).attach(Strict::fairing());
            let launched = Client::untracked(rocket).await;
            let is_launched = launched.map(drop).map_err(|error| error.kind().to_string());
            let said = log.lines().split_off(before);
            let text = expected.unwrap_or_else(|text| text);
            assert_eq!(is_launched.is_ok(), expected.is_ok(), "{text}");
            assert!(
                said.iter().any(|line| line.text.contains(text)),
                "{text}: {said:#?}"
            );
        }
        assert_eq!(
            log.with("what is encrypted is lost with each restart")
                .len(),
            1
        );
        for line in log.lines() {
            for secret in [short, &key('Q'), &key('A'), "0f0f"] {
                assert!(!line.text.contains(secret), "{line:?}");
            }
        }
    });
}

/// Without encrypted fields, a key is neither required nor read.
#[tokio::test]
async fn who_encrypts_nothing_needs_no_key() {
    #[session]
    struct Plain {
        note: String,
    }
    for figment in [
        of_profile("release"),
        of_profile("release").merge(("secret_key", "nonsense")),
    ] {
        let rocket = rocket::custom(figment).attach(Plain::fairing());
        Client::untracked(rocket).await.unwrap();
    }
}
