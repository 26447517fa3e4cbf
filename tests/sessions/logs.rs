//! What an operator reads in the log, and what must never be there.

use std::sync::Arc;

use log::Level;
use rocket::fairing::AdHoc;
use rocket::figment::Figment;
use rocket::local::asynchronous::Client;
use rocket::{Build, Rocket, get, routes};
use rocket_typed_session::Session;
use rocket_typed_session::store::MemoryStore;
use session_core::testing::ManualClock;

use crate::app::{App, MINUTE, Visit, rocket};
use crate::support::http::Server;
use crate::support::log::{Log, alone};
use crate::support::own::{configured, quiet};
use crate::support::redis::RedisServer;
use crate::support::secrets::Secrets;

fn of_profile(profile: &str) -> Rocket<Build> {
    let figment = Figment::from(rocket::Config::default());
    rocket::custom(figment.select(profile))
}

/// What Rocket's own logger prints at its own level.
#[test]
fn a_launch_in_release_says_where_sessions_are_and_how_long_they_live() {
    let said = alone(async || {
        let redis = RedisServer::start();
        let _: String = redis.command(&["CONFIG", "SET", "requirepass", "hunter2"]);
        let url = format!("redis://:hunter2@127.0.0.1:{}/3", redis.port());
        let info: String = redis.command(&["INFO", "server"]);
        let version = |name| info.split(name).nth(1)?.lines().next();
        let name = match version("valkey_version:") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", version("redis_version:").unwrap()),
        };
        println!("server {name}, port {}.", redis.port());
        let figment = Figment::from(rocket::Config::release_default()).select("release");
        let figment = figment.merge(("databases.sessions.url", url));
        let figment = figment.merge(("sessions.visit.max_sessions", 5));
        let rocket = rocket::custom(figment).attach(Visit::fairing());
        Server::launch(rocket).await.stop().await;
    });
    let Some(said) = said else { return };
    let after = |word: &str, end| said.split(word).nth(1).unwrap().split(end).next().unwrap();
    let (name, port) = (after("server ", ','), after("port ", '.'));
    let lines: Vec<_> = said
        .lines()
        .filter(|line| line.contains("Session "))
        .collect();
    let [line] = lines[..] else {
        panic!("{said}");
    };
    assert!(
        line.ends_with(&format!(
            "Session visit: {name} (standalone, master, noeviction) at 127.0.0.1:{port}/3, keys `session:*`; cookie `visit`; ends \
             after 30m idle, 12h at most; at most 5 for each user, the oldest ends"
        )),
        "{line}"
    );
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn sessions_in_memory_are_warned_of_in_release_unless_they_are_meant() {
    alone(async || {
        let log = Log::keep();
        let count = || log.with("kept in the memory of this process").len();
        for (profile, expected) in [("debug", 0), ("release", 1), ("staging", 1)] {
            let before = count();
            let rocket = of_profile(profile).attach(Visit::fairing());
            Client::untracked(rocket).await.unwrap();
            assert_eq!(count() - before, expected, "{profile}");
        }
        assert!(
            log.with("kept in")
                .iter()
                .all(|line| line.level == Level::Warn)
        );
        let before = count();
        let meant = Visit::fairing().store(MemoryStore::new());
        let client = Client::untracked(of_profile("release").attach(meant)).await;
        assert_eq!(count(), before);
        drop(client);
        let line = log.with("Session visit: memory").pop().unwrap();
        assert_eq!(line.target, "rocket::launch");
    });
}

#[test]
fn a_cookie_that_is_not_secure_is_warned_of_in_release() {
    alone(async || {
        let log = Log::keep();
        for (profile, expected) in [("debug", 0), ("release", 1)] {
            let figment = Figment::from(rocket::Config::default()).select(profile);
            let figment = figment.merge(("sessions.visit.secure", false));
            let rocket = rocket::custom(figment).attach(Visit::fairing());
            Client::untracked(rocket).await.unwrap();
            assert_eq!(log.with("cookie is not `Secure`").len(), expected);
        }
    });
}

#[test]
fn a_login_after_a_destroy_is_warned_of() {
    #[rocket::get("/")]
    fn again(mut visit: Session<Visit>) {
        visit.destroy();
        visit.log_in("alice".into());
    }

    #[rocket::get("/begin")]
    fn begin(mut visit: Session<Visit>) {
        visit.log_in("bob".into());
    }

    #[rocket::get("/two")]
    fn two(mut one: Session<Visit>, mut other: Session<Visit>) {
        one.destroy();
        other.log_in("alice".into());
    }

    #[rocket::get("/who")]
    fn who(visit: Session<Visit>) -> String {
        visit.user.clone().unwrap_or_default()
    }

    alone(async || {
        let log = Log::keep();
        let rocket = quiet()
            .attach(Visit::fairing())
            .mount("/", routes![again, begin, two, who]);
        let client = Client::tracked(rocket).await.unwrap();
        client.get("/").dispatch().await;
        assert_eq!(client.cookies().iter().count(), 0);
        let lines = log.with("a login after `destroy` in the same request logs nobody in");
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].level, Level::Warn);

        // By a second guard, of a living session: the logout is final.
        client.get("/begin").dispatch().await;
        let cookie = client.cookies().iter().next().unwrap().clone();
        let who = client.get("/who").dispatch().await.into_string().await;
        assert_eq!(who.as_deref(), Some("bob"));
        client.get("/two").dispatch().await;
        assert_eq!(client.cookies().iter().count(), 0);
        let late = client.get("/who").cookie(cookie).dispatch().await;
        assert_eq!(late.into_string().await.as_deref(), Some(""));
        assert_eq!(log.with("logs nobody in").len(), 2);
    });
}

#[test]
fn a_table_of_no_session_type_is_warned_of() {
    alone(async || {
        let log = Log::keep();
        let misspelt = configured(quiet(), "sessions.vist.idle", "1h");
        let client = Client::untracked(misspelt.attach(Visit::fairing())).await;
        drop(client.unwrap());
        let lines = log.with("`sessions.vist` configures no session type; did you mean `visit`?");
        assert_eq!(lines.len(), 1, "{:#?}", log.lines());
        assert_eq!(lines[0].level, Level::Warn);
    });
}

#[test]
fn a_server_that_is_not_fit_for_sessions_is_warned_of_or_stops_the_launch() {
    alone(async || {
        let log = Log::keep();
        let launch = async |redis: &RedisServer, on_start| {
            let rocket = configured(quiet(), "databases.sessions.url", &redis.url());
            let rocket = configured(rocket, "sessions.visit.on_start", on_start);
            Client::untracked(rocket.attach(Visit::fairing())).await
        };
        let server = |command: &str| {
            let redis = RedisServer::start();
            let words: Vec<_> = command.split(' ').collect();
            let _: String = redis.command(&words);
            redis
        };
        for (mut redis, part, level) in [
            (
                server("CONFIG SET maxmemory-policy allkeys-lru"),
                "`allkeys-lru`",
                Level::Warn,
            ),
            // Its answers cannot be trusted.
            (
                server("REPLICAOF 127.0.0.1 1"),
                "it is a replica",
                Level::Error,
            ),
            (RedisServer::start_cluster(), "(MOVED)", Level::Warn),
        ] {
            assert!(launch(&redis, "warn").await.is_ok(), "{part}");
            assert!(
                launch(&redis, "fail")
                    .await
                    .is_err_and(|error| error.kind().to_string().contains("fairing"))
            );
            let levels: Vec<_> = log.with(part).iter().map(|line| line.level).collect();
            assert_eq!(levels, [level, Level::Error], "{part}");
            redis.stop();
            assert!(launch(&redis, "warn").await.is_ok(), "{part}");
            assert!(
                launch(&redis, "fail")
                    .await
                    .is_err_and(|error| error.kind().to_string().contains("fairing"))
            );
        }
        assert_eq!(log.with("does not answer").len(), 8);
        let fit = RedisServer::start();
        assert!(launch(&fit, "fail").await.is_ok());
        // Its user may not ask.
        let user = "ACL SETUSER default -info";
        let _: String = fit.command(&user.split(' ').collect::<Vec<_>>());
        assert!(launch(&fit, "warn").await.is_ok());
        assert_eq!(log.with("does not say what it is").len(), 1);
    });
}

#[test]
fn a_launch_that_fails_names_the_key_to_mend() {
    alone(async || {
        let log = Log::keep();
        let long = configured(quiet(), "sessions.visit.timeout", "500000000000years");
        let failed = Client::untracked(long.attach(Visit::fairing())).await;
        // A launch error that nobody inspects panics.
        assert!(failed.is_err_and(|error| error.kind().to_string().contains("fairing")));
        let lines = log.with("`sessions.visit.timeout`");
        assert_eq!(lines.len(), 1, "{:#?}", log.lines());
        assert_eq!(lines[0].level, Level::Error);
    });
}

#[get("/plain")]
fn plain() {}

#[test]
fn a_session_that_is_first_used_after_the_commit_is_complained_of() {
    alone(async || {
        let log = Log::keep();
        let later = AdHoc::on_response("Later", |request, _| {
            Box::pin(async move {
                let visit = request.guard::<Session<Visit>>().await;
                visit.succeeded().unwrap().note = "too late".into();
            })
        });
        let rocket = quiet().attach(Visit::fairing()).attach(later);
        let server = Server::launch(rocket.mount("/", routes![plain])).await;
        let response = server.browser().get("/plain").await;
        assert!(response.set_cookies().is_empty());
        let line = log.wait_for("after the response was decided").await;
        assert_eq!(line.level, Level::Error);
    });
}

#[test]
fn a_token_of_before_a_rotation_is_warned_of_once_no_parallel_request_can_have_it() {
    alone(async || {
        let log = Log::keep();
        let app = App::in_memory().await;
        let mut browser = app.browser();
        browser.get("/view").await;
        let id = browser.get("/id").await.text();
        let mut thief = browser.clone();
        browser.post("/rotate", &[]).await;
        thief.get("/read").await;
        assert!(log.with("replaced long ago").is_empty());
        app.clock.advance(MINUTE);
        thief.get("/read").await;
        let line = log.wait_for("replaced long ago").await;
        assert_eq!(line.level, Level::Warn);
        assert!(line.text.contains(&id), "{line:?}");
    });
}

#[test]
fn a_refused_logout_is_one_line() {
    alone(async || {
        let log = Log::keep();
        let app = App::in_memory().await;
        let mut browser = app.browser();
        browser.get("/view").await;
        let mut old = browser.clone();
        browser.post("/login/alice", &[]).await;
        assert_eq!(old.post("/logout", &[]).await.status, 503);
        let lines = log.with("not stored");
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].text.contains("which session to end"), "{lines:#?}");
    });
}

#[test]
fn no_line_at_any_level_tells_a_secret() {
    alone(async || {
        let log = Log::keep();
        let mut redis = RedisServer::start();
        let _: String = redis.command(&["CONFIG", "SET", "requirepass", "hunter2"]);
        let url = format!("redis://:hunter2@127.0.0.1:{}", redis.port());
        let rocket = configured(rocket(), "databases.sessions.url", &url);
        let rocket = configured(rocket, "sessions.visit.timeout", "100ms");
        let clock = Arc::new(ManualClock::new());
        let fairing = Visit::fairing().clock(Arc::clone(&clock));
        let server = Server::launch(rocket.attach(fairing)).await;
        let mut browser = server.browser();
        let mut secrets = Secrets::default();
        secrets.text("hunter2");
        secrets.text("opensesame");
        let steps = [
            "GET /view",
            "GET /note/opensesame",
            "POST /login/opensesame",
            "POST /rotate",
            "POST /fail/panic/login",
            "POST /fail/error/rotate",
            "POST /remember/opensesame",
            "GET /save",
            "POST /leave",
            "POST /login/opensesame",
        ];
        for step in steps {
            let mut old = browser.clone();
            let (method, path) = step.split_once(' ').unwrap();
            match method {
                "GET" => browser.get(path).await,
                _ => browser.post(path, &[]).await,
            };
            secrets.jar(&browser.jar);
            // First like a parallel request, then like a thief's.
            old.get("/read").await;
            clock.advance(MINUTE);
            old.get("/view").await;
            secrets.jar(&old.jar);
        }
        let junk = "{\"opensesame\":";
        for key in redis.keys() {
            let _: i64 = redis.command(&["HSET", &key, "note", junk, "views", junk]);
        }
        browser.get("/view").await;
        for key in redis.keys() {
            let _: i64 = redis.command(&["DEL", &key]);
            let _: i64 = redis.command(&["RPUSH", &key, junk]);
        }
        browser.get("/view").await;
        redis.stop();
        browser.get("/note/opensesame").await;
        browser.post("/logout", &[]).await;
        // A server that wants another password.
        redis.restart();
        let _: String = redis.command(&["CONFIG", "SET", "requirepass", "other"]);
        browser.get("/view").await;

        assert!(secrets.tokens() > 5);
        let lines = log.lines();
        for expected in [
            "replaced long ago",
            "cannot be read",
            "not a session",
            "WRONGPASS",
        ] {
            assert!(!log.with(expected).is_empty(), "{expected}: {lines:#?}");
        }
        secrets.assert_not_in_log(log);
    });
}

#[test]
fn an_outage_is_one_line_for_each_interval_not_three_for_each_request() {
    alone(async || {
        let log = Log::keep();
        let mut redis = RedisServer::start();
        let rocket = configured(rocket(), "databases.sessions.url", &redis.url());
        let rocket = configured(rocket, "sessions.visit.timeout", "200ms");
        let server = Server::launch(rocket.attach(Visit::fairing())).await;
        let mut browser = server.browser();
        browser.get("/view").await;
        redis.stop();
        let began = std::time::Instant::now();
        for _ in 0..20 {
            for path in ["/read", "/view", "/save"] {
                assert_eq!(browser.get(path).await.status, 503);
            }
        }
        let errors = || {
            let lines = log.lines().into_iter();
            lines.filter(|line| line.level == Level::Error).count()
        };
        let intervals = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
        assert!(
            errors() <= intervals,
            "{} in {intervals} s: {:#?}",
            errors(),
            log.lines()
        );
        assert!(errors() > 0);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        browser.get("/read").await;
        let line = log.with("more requests failed meanwhile").pop();
        assert!(line.is_some(), "{:#?}", log.lines());
    });
}

/// Both began before the other was dropped, so one assignment is lost.
#[get("/overwrite")]
fn overwrite(mut first: Session<Visit>, mut second: Session<Visit>) {
    first.note = "one".into();
    second.note = "two".into();
}

/// The second assignment follows a `save`, so it knows what it overwrites.
#[get("/replace")]
async fn replace(mut first: Session<Visit>) {
    first.note = "first".into();
    first.save().await.unwrap();
    first.note = "second".into();
}

#[test]
fn guards_that_overwrite_each_other_are_warned_of_while_debugging() {
    alone(async || {
        let log = Log::keep();
        let rocket = quiet().attach(Visit::fairing());
        let server = Server::launch(rocket.mount("/", routes![overwrite, replace])).await;
        let mut browser = server.browser();
        browser.get("/replace").await;
        assert!(log.with("two guards").is_empty());
        browser.get("/overwrite").await;
        let line = log.with("two guards").pop().unwrap();
        assert_eq!(line.level, Level::Warn);
        assert!(line.text.contains("`note`"), "{line:?}");
    });
}
