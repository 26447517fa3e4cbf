//! What Redis sees: commands, keys, values and lifetimes.

use crate::app::{App, MINUTE, Visit};
use crate::support::redis::Monitor;
use crate::support::secrets::Secrets;

/// The session commands since the last call.
pub(crate) fn commands(monitor: &Monitor<'_>) -> Vec<String> {
    let received = monitor.take();
    let sessions = received
        .iter()
        .filter(|command| !command.is_about_the_connection());
    sessions.map(|command| command.name().to_owned()).collect()
}

#[tokio::test]
async fn a_request_costs_no_command_more_than_it_must() {
    let app = App::on_redis().await;
    let mut browser = app.browser();
    // The first call of a script loads it.
    browser.get("/view").await;
    app.browser().post("/login/eve", &[]).await;
    let mut leaving = app.browser();
    leaving.get("/view").await;
    leaving.post("/logout", &[]).await;
    browser.get("/view").await;
    let monitor = app.redis().monitor();
    let mut stranger = app.browser();
    for (path, expected) in [
        ("/static", &[][..]),
        ("/absent", &[]),
        ("/read", &["HMGET"]),
        ("/teapot", &["HMGET"]),
        ("/forwarded", &["HMGET"]),
        ("/same", &["HMGET"]),
        ("/view", &["HMGET", "EVALSHA"]),
        ("/note/x", &["HMGET", "EVALSHA"]),
        ("/note/x", &["HMGET"]),
        ("/two", &["HMGET", "EVALSHA"]),
    ] {
        browser.get(path).await;
        assert_eq!(commands(&monitor), expected, "{path}");
        if !path.starts_with("/view") {
            continue;
        }
        stranger.get(path).await;
        assert_eq!(
            commands(&monitor),
            ["EVALSHA"],
            "a stranger has nothing to be read"
        );
        stranger.jar = Default::default();
    }
    for path in ["/static", "/read", "/same"] {
        stranger.get(path).await;
        assert_eq!(commands(&monitor), [""; 0], "{path} without a cookie");
        stranger.jar.set("visit", "malformed");
        stranger.get(path).await;
        assert_eq!(
            commands(&monitor),
            [""; 0],
            "{path} with a malformed cookie"
        );
        stranger.jar = Default::default();
    }
    app.clock.advance(3 * MINUTE);
    browser.get("/read").await;
    assert_eq!(commands(&monitor), ["HMGET", "EVALSHA"], "a touch");
    // A user's index changes too.
    let and_the_user = ["HMGET", "EVALSHA", "EVALSHA"];
    browser.post("/login/alice", &[]).await;
    assert_eq!(commands(&monitor), and_the_user);
    browser.get("/read").await;
    assert_eq!(commands(&monitor), ["HMGET"]);
    app.clock.advance(3 * MINUTE);
    browser.get("/read").await;
    assert_eq!(commands(&monitor), and_the_user, "a touch");
    browser.post("/logout", &[]).await;
    assert_eq!(commands(&monitor), and_the_user);
    browser.post("/logout", &[]).await;
    assert_eq!(commands(&monitor), [""; 0]);
}

#[tokio::test]
async fn one_session_is_one_small_hash_of_json() {
    let app = App::on_redis().await;
    let redis = app.redis();
    let mut browser = app.browser();
    browser.get("/view").await;
    browser.get("/dark").await;
    browser.post("/login/alice", &[]).await;
    let id = browser.get("/id").await.text();
    let key = format!("session:visit:{id}");
    assert_eq!(redis.keys(), std::slice::from_ref(&key));
    let field = |name| -> Option<String> { redis.command(&["HGET", &key, name]) };
    assert_eq!(field("views").as_deref(), Some("1"));
    assert_eq!(field("user").as_deref(), Some("\"alice\""));
    assert_eq!(field("theme").as_deref(), Some("\"Dark\""));
    assert_eq!(
        field("note"),
        None,
        "what is at its default was never written"
    );
    assert_eq!(field("scratch"), None);
    let metadata: Vec<u8> = redis.command(&["HGET", &key, "@"]);
    assert!(metadata.len() <= 64);
    let encoding: String = redis.command(&["OBJECT", "ENCODING", &key]);
    assert_eq!(encoding, "listpack");
    browser.post("/leave", &[]).await;
    assert_eq!(redis.keys(), [""; 0], "an id belongs to one user for life");
}

#[tokio::test]
async fn no_secret_is_at_rest_and_every_key_has_a_time_to_live() {
    let app = App::on_redis().await;
    let mut secrets = Secrets::default();
    let mut browsers: Vec<_> = (0..5).map(|_| app.browser()).collect();
    for (number, browser) in browsers.iter_mut().enumerate() {
        let steps = [
            "/view",
            "/note/x",
            "/dark",
            "POST /login/alice",
            "/view",
            "POST /rotate",
            "POST /remember/alice",
            "/save",
            "POST /fail/panic/rotate",
            "/two",
        ];
        for step in steps.iter().cycle().skip(number).take(12) {
            match step.strip_prefix("POST ") {
                Some(path) => browser.post(path, &[]).await,
                None => browser.get(step).await,
            };
            secrets.jar(&browser.jar);
            app.clock.advance(MINUTE);
            let ttls = app.redis().ttls();
            assert!(ttls.values().all(|ttl| *ttl > 0), "{step}: {ttls:?}");
        }
    }
    browsers[0].post("/logout", &[]).await;
    assert!(secrets.tokens() > 10);
    // Four sessions, and their user.
    assert_eq!(app.redis().dump_all().len(), 5);
    secrets.assert_not_in_redis(app.redis());
}

#[tokio::test]
async fn the_deadlines_hold_without_the_keys_time_to_live() {
    let app = App::on_redis().await;
    let mut browser = app.browser();
    browser.get("/view").await;
    let key = app.redis().keys().pop().unwrap();
    let _: i64 = app.redis().command(&["PERSIST", &key]);
    app.clock.advance(30 * MINUTE);
    assert_eq!(browser.get("/result").await.text(), "views=0");
    // The next write of a living session restores it.
    browser.get("/view").await;
    let key = app
        .redis()
        .keys()
        .into_iter()
        .find(|other| *other != key)
        .unwrap();
    let _: i64 = app.redis().command(&["PERSIST", &key]);
    app.clock.advance(3 * MINUTE);
    browser.get("/view").await;
    assert!(app.redis().ttls()[&key] > 0);
}

#[tokio::test]
async fn a_longer_life_is_not_shortened_by_a_request_that_did_not_know_of_it() {
    let app = App::on_redis().await;
    let mut browser = app.browser();
    browser.post("/remember/alice", &[]).await;
    let long = *app.redis().ttls().values().next().unwrap();
    for path in ["/view", "/read"] {
        app.clock.advance(24 * 60 * MINUTE);
        browser.get(path).await;
        let ttl = *app.redis().ttls().values().next().unwrap();
        assert!(ttl >= long - 10_000, "{path}: {ttl} < {long}");
    }
}

#[tokio::test]
async fn fields_of_other_builds_are_left_alone() {
    let app = App::on_redis().await;
    let mut browser = app.browser();
    browser.get("/view").await;
    let key = app.redis().keys().pop().unwrap();
    let _: i64 = app
        .redis()
        .command(&["HSET", &key, "of_a_newer_build", "{}"]);
    browser.get("/view").await;
    // While the session is anonymous: clearing a user's session ends it.
    browser.post("/clear", &[]).await;
    browser.post("/login/alice", &[]).await;
    let kept: String = app.redis().command(&["HGET", &key, "of_a_newer_build"]);
    assert_eq!(kept, "{}");
}

#[tokio::test]
async fn a_field_that_cannot_be_read_is_at_its_default_and_stays_until_it_is_written() {
    let app = App::on_redis().await;
    let mut browser = app.browser();
    browser.get("/view").await;
    let key = app.redis().keys().pop().unwrap();
    for (field, junk) in [
        ("views", "\"many\""),
        ("theme", "\"Blue\""),
        ("note", "{\"a\":"),
    ] {
        let _: i64 = app.redis().command(&["HSET", &key, field, junk]);
    }
    assert_eq!(
        browser.get("/read").await.text(),
        "views=0 user=- theme=Light note="
    );
    browser.get("/dark").await;
    let note: String = app.redis().command(&["HGET", &key, "note"]);
    assert_eq!(note, "{\"a\":");
    assert_eq!(browser.get("/view").await.text(), "1");
    assert_eq!(
        browser.get("/read").await.text(),
        "views=1 user=- theme=Dark note="
    );
}

#[tokio::test]
async fn a_request_never_waits_for_a_free_connection_of_the_pool() {
    use rocket_db_pools::Database;

    #[derive(Database)]
    #[database("main")]
    struct Db(rocket_typed_session::RedisPool);

    let redis = crate::support::redis::RedisServer::start();
    let figment = crate::app::rocket()
        .figment()
        .clone()
        .merge(("databases.main.url", redis.url()))
        .merge(("databases.main.max_connections", 2));
    let rocket = crate::app::rocket()
        .configure(figment)
        .attach(Db::init())
        .attach(Visit::fairing().database::<Db>());
    let server = crate::support::http::Server::launch(rocket).await;
    let mut browser = server.browser();
    browser.get("/view").await;
    let requests = (0..32).map(|_| {
        let mut browser = browser.clone();
        tokio::spawn(async move { browser.get("/view").await.status })
    });
    for request in requests.collect::<Vec<_>>() {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(browser.get("/result").await.text(), "views=33");
    assert_eq!(redis.keys().len(), 1);
}

#[tokio::test]
async fn applications_that_share_a_server_are_kept_apart_by_their_prefix() {
    let redis = crate::support::redis::RedisServer::start();
    let mut servers = Vec::new();
    for prefix in ["shop:", "forum:"] {
        let figment = crate::app::rocket()
            .figment()
            .clone()
            .merge(("databases.sessions.url", redis.url()))
            .merge(("sessions.visit.prefix", prefix));
        let rocket = crate::app::rocket()
            .configure(figment)
            .attach(Visit::fairing());
        servers.push(crate::support::http::Server::launch(rocket).await);
    }
    let mut browser = servers[0].browser();
    browser.get("/view").await;
    let id = browser.get("/id").await.text();
    assert_eq!(redis.keys(), [format!("shop:visit:{id}")]);
    browser.go_to(servers[1].address());
    assert_eq!(browser.get("/result").await.text(), "views=0");
}

/// A later build appends to the metadata and increments their version.
#[tokio::test]
async fn what_a_later_version_wrote_into_the_metadata_is_read_and_kept() {
    let app = App::on_redis().await;
    let redis = app.redis();
    let mut browser = app.browser();
    browser.get("/view").await;
    browser.post("/login/alice", &[]).await;
    let key = redis.keys().pop().unwrap();
    let stored: Vec<u8> = redis.command(&["HGET", &key, "@"]);
    let appended = b"what only version 2 knows";
    let later = [&[2], &stored[1..], appended].concat();
    let words: &[&[u8]] = &[b"HSET", key.as_bytes(), b"@", &later];
    let _: i64 = redis.command_of_bytes(words);
    let is_kept = || {
        let stored: Vec<u8> = redis.command(&["HGET", &key, "@"]);
        stored[0] == 2 && stored.ends_with(appended)
    };
    assert!(browser.get("/read").await.text().contains("user=alice"));
    browser.get("/view").await;
    assert!(is_kept(), "by a change");
    browser.post("/rotate", &[]).await;
    assert!(is_kept(), "by a rotation");
    app.clock.advance(5 * MINUTE);
    browser.get("/read").await;
    assert!(is_kept(), "by a touch");
    browser.post("/remember/alice", &[]).await;
    assert!(is_kept(), "by another lifetime");
    assert!(
        browser
            .get("/read")
            .await
            .text()
            .starts_with("views=2 user=alice")
    );
}
