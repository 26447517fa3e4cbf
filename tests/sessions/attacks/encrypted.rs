//! What a hostile client tries with encrypted fields.

use std::collections::BTreeMap;

use rocket::{Build, Rocket, get, post, routes};
use rocket_typed_session::{Error, Session, TransactError, session};

use crate::support::http::Server;
use crate::support::own::{configured, quiet};
use crate::support::redis::RedisServer;

#[session(cookie = "old", name = "sealed")]
struct Old {
    #[session(encrypted, once)]
    code: Option<u32>,
    #[session(encrypted, entries)]
    grants: BTreeMap<String, String>,
    #[session(encrypted)]
    token: String,
}

#[session(cookie = "old", name = "sealed")]
struct New {
    #[session(encrypted, once, alias = "code")]
    challenge: Option<u32>,
    #[session(encrypted, entries)]
    grants: BTreeMap<String, String>,
    #[session(encrypted)]
    token: String,
}

#[post("/put/<code>")]
fn put(mut old: Session<Old>, code: u32) {
    old.code = Some(code);
    old.grants.insert("mail".into(), "yes".into());
}

#[post("/take")]
async fn take(mut new: Session<New>) -> Result<String, Error> {
    Ok(format!("{:?}", New::take_challenge(&mut new).await?))
}

#[get("/peek")]
fn peek(new: Session<New>) -> String {
    format!("{:?} {:?} {}", new.challenge, new.grants, new.token)
}

#[post("/append")]
async fn append(mut new: Session<New>) -> Result<(), TransactError<Error>> {
    new.transact(|new| {
        new.token.push('x');
        Ok(())
    })
    .await
}

fn key(letter: char) -> String {
    format!("{}=", letter.to_string().repeat(43))
}

async fn build(
    redis: &RedisServer,
    keys: &[char],
    make: impl Fn(Rocket<Build>) -> Rocket<Build>,
) -> Server {
    let keys: Vec<String> = keys.iter().copied().map(key).collect();
    let rocket = configured(quiet(), "databases.sessions.url", &redis.url());
    let figment = rocket.figment().clone();
    let figment = figment.merge(("sessions.encryption_keys", keys));
    Server::launch(make(rocket.configure(figment))).await
}

fn old(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket.attach(Old::fairing()).mount("/", routes![put])
}

fn new(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket
        .attach(New::fairing())
        .mount("/", routes![take, peek, append])
}

/// Promises of `once` and `alias`: one request takes the value, and either name is read.
#[tokio::test]
async fn a_take_opens_what_an_older_build_sealed() {
    let redis = RedisServer::start();
    let (old, new) = (
        build(&redis, &['A'], old).await,
        build(&redis, &['A'], new).await,
    );
    let mut browser = old.browser();
    browser.post("/put/7", &[]).await;
    browser.go_to(new.address());
    assert!(browser.get("/peek").await.text().starts_with("Some(7)"));
    assert_eq!(browser.post("/take", &[]).await.text(), "Some(7)");
    assert_eq!(browser.post("/take", &[]).await.text(), "None");
    old.stop().await;
    new.stop().await;
}

/// The guide: a transaction commits if everything that it read is unchanged.
#[tokio::test]
async fn a_transaction_goes_on_beside_an_entry_that_does_not_open() {
    let redis = RedisServer::start();
    let (old, new) = (
        build(&redis, &['A'], old).await,
        build(&redis, &['E'], new).await,
    );
    let mut browser = old.browser();
    browser.post("/put/7", &[]).await;
    browser.go_to(new.address());
    assert_eq!(browser.get("/peek").await.text(), "None {} ");
    assert_eq!(browser.post("/append", &[]).await.status, 200);
    assert_eq!(browser.get("/peek").await.text(), "None {} x");
    old.stop().await;
    new.stop().await;
}

#[session(cookie = "vault")]
struct Vault {
    #[session(identity)]
    user: Option<String>,
    #[session(encrypted, keep, on_unreadable = "error")]
    secret: String,
    #[session(encrypted, entries, keep)]
    parts: BTreeMap<String, String>,
    plain: u32,
}

#[post("/vault/<user>")]
async fn fill_vault(mut vault: Session<Vault>, user: String) -> Result<String, Error> {
    vault.secret.push('s');
    vault.parts.insert(user.clone(), "p".into());
    vault.log_in(user);
    let during = format!("{} {:?}", vault.secret, vault.parts);
    vault.save().await?;
    vault.plain += 1;
    vault.save().await?;
    vault.reload().await?;
    let after = format!("{} {:?}", vault.secret, vault.parts);
    assert_eq!(during, after);
    Ok(after)
}

#[get("/vault")]
fn vault(vault: Session<Vault>) -> String {
    format!("{} {:?} {}", vault.secret, vault.parts, vault.plain)
}

#[post("/vault-logout")]
fn vault_logout(vault: Result<Session<Vault>, Error>) -> Result<(), Error> {
    match vault {
        Ok(mut vault) => vault.destroy(),
        Err(error) if error.is_decode() => error.destroy(),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn vaults(rocket: Rocket<Build>) -> Rocket<Build> {
    let rocket = rocket.attach(Vault::fairing());
    rocket.mount("/", routes![fill_vault, vault, vault_logout])
}

#[tokio::test]
async fn a_vault_goes_from_user_to_user_and_ends_whatever_is_in_it() {
    let redis = RedisServer::start();
    let (one, other) = (
        build(&redis, &['A'], vaults).await,
        build(&redis, &['E'], vaults).await,
    );
    let mut browser = one.browser();
    for (user, expected) in [
        ("alice", "s {\"alice\": \"p\"}"),
        ("bob", "ss {\"alice\": \"p\", \"bob\": \"p\"}"),
        ("bob", "sss {\"alice\": \"p\", \"bob\": \"p\"}"),
    ] {
        let response = browser.post(&format!("/vault/{user}"), &[]).await;
        assert_eq!(response.text(), expected);
    }
    browser.go_to(other.address());
    assert_eq!(browser.get("/vault").await.status, 500);
    assert_eq!(browser.post("/vault/eve", &[]).await.status, 500);
    browser.go_to(one.address());
    assert!(browser.get("/vault").await.text().starts_with("sss "));
    browser.go_to(other.address());
    assert_eq!(browser.post("/vault-logout", &[]).await.status, 200);
    assert!(browser.jar.is_empty());
    assert!(redis.keys().is_empty());
    one.stop().await;
    other.stop().await;
}

#[session(cookie = "turned", name = "turned")]
struct Mapped {
    #[session(entries)]
    token: BTreeMap<String, String>,
    list: String,
}

#[session(cookie = "turned", name = "turned")]
struct Single {
    #[session(encrypted, on_unreadable = "error")]
    token: String,
    #[session(encrypted, entries)]
    list: BTreeMap<String, String>,
}

#[post("/mapped")]
fn mapped(mut mapped: Session<Mapped>) {
    mapped.token.insert("a".into(), "b".into());
    mapped.list = "c".into();
}

#[get("/single")]
fn single(single: Session<Single>) -> String {
    format!("{:?} {:?}", single.token, single.list)
}

/// README, guarantee 5. An entry's value is no value of a field without entries, nor the reverse.
#[tokio::test]
async fn what_is_no_value_of_a_field_does_not_fail_to_open() {
    let redis = RedisServer::start();
    let mapping =
        |rocket: Rocket<Build>| rocket.attach(Mapped::fairing()).mount("/", routes![mapped]);
    let single =
        |rocket: Rocket<Build>| rocket.attach(Single::fairing()).mount("/", routes![single]);
    let (old, new) = (
        build(&redis, &['A'], mapping).await,
        build(&redis, &['A'], single).await,
    );
    let mut browser = old.browser();
    browser.post("/mapped", &[]).await;
    browser.go_to(new.address());
    let response = browser.get("/single").await;
    assert_eq!((response.status, response.text()), (200, "\"\" {}".into()));
    old.stop().await;
    new.stop().await;
}
