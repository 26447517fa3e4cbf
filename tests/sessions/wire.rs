//! What goes wrong on the way to a server: other bytes than its own, bytes that come late, and a
//! connection that breaks at any message.

use std::time::Duration;

use log::Level;
use rocket::local::asynchronous::Client;
use tokio::task::JoinSet;

use crate::app::{App, Visit, rocket};
use crate::refusals::{NOTHING, Site};
use crate::support::gateway::{Cut, Gateway, Says};
use crate::support::http::{Browser, Server};
use crate::support::log::{Log, alone};
use crate::support::own::configured;
use crate::support::redis::RedisServer;

/// What something else than a Redis may say on its port.
const STRANGERS: [&[u8]; 9] = [
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"\x00\xff\x00\xff\x00\xff\r\n",
    b"\r\n\r\n\r\n\r\n",
    b"$-7\r\n",
    b"*-7\r\n",
    // More than anybody could hold.
    b"*2000000000\r\n",
    b"$400000000000\r\n",
];

/// Answers of a Redis, and to other questions.
const WRONG_ANSWERS: [&str; 5] = ["+OK", ":1", "$-1", "*0", "*1\r\n*1\r\n+OK"];

async fn behind_a_gateway() -> (Site, Gateway) {
    let redis = RedisServer::start();
    let gateway = Gateway::to(redis.port()).await;
    (Site::at(&gateway.url(), redis).await, gateway)
}

#[tokio::test]
async fn a_stranger_on_the_port_is_an_outage_until_redis_is_there_again() {
    for stranger in STRANGERS {
        let (mut site, gateway) = behind_a_gateway().await;
        gateway.say(Says::Junk(stranger));
        site.refused(NOTHING).await;
        gateway.say(Says::Truth);
        site.goes_on().await;
    }
    let (mut site, gateway) = behind_a_gateway().await;
    gateway.say(Says::Nothing);
    site.refused(NOTHING).await;
    gateway.say(Says::Truth);
    site.goes_on().await;
}

#[tokio::test]
async fn an_answer_to_another_question_is_an_outage_and_no_empty_session() {
    for answer in WRONG_ANSWERS {
        let (mut site, gateway) = behind_a_gateway().await;
        gateway.say(Says::Line(answer));
        eprintln!("{answer}");
        site.refused(NOTHING).await;
        gateway.say(Says::Truth);
        site.goes_on().await;
    }
}

#[test]
fn a_stranger_on_the_port_stops_a_launch_that_is_to_fail_and_no_other() {
    alone(async || {
        let log = Log::keep();
        let redis = RedisServer::start();
        for (number, stranger) in STRANGERS.into_iter().enumerate() {
            let gateway = Gateway::to(redis.port()).await;
            gateway.say(Says::Junk(stranger));
            let make = |on_start| {
                let rocket = configured(rocket(), "databases.sessions.url", &gateway.url());
                let rocket = configured(rocket, "sessions.visit.timeout", "500ms");
                configured(rocket, "sessions.visit.on_start", on_start).attach(Visit::fairing())
            };
            let failed = Client::untracked(make("fail")).await;
            assert!(failed.is_err_and(|error| error.kind().to_string().contains("fairing")));
            let server = Server::launch(make("warn")).await;
            let mut browser = server.browser();
            assert_eq!(browser.get("/view").await.status, 503);
            gateway.say(Says::Truth);
            assert_eq!(browser.get("/view").await.text(), "1");
            let lines = log.with("does not answer");
            assert_eq!(lines.len(), 2 * (number + 1), "{lines:#?}");
            assert!(lines.iter().all(|line| line.level == Level::Error));
        }
    });
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_read_and_one_that_comes_too_late_is_an_outage() {
    let (mut site, gateway) = behind_a_gateway().await;
    gateway.say(Says::Slowly(Duration::ZERO));
    for views in 2..5 {
        assert_eq!(site.browser.get("/view").await.text(), views.to_string());
    }
    // An answer has more than a hundred bytes.
    gateway.say(Says::Slowly(Duration::from_millis(10)));
    site.refused(NOTHING).await;
    gateway.say(Says::Truth);
    // The one that is still under way is replaced.
    let mut tries = 0;
    while site.browser.get("/read").await.status != 200 {
        tries += 1;
        assert!(tries < 5);
    }
    assert_eq!(site.browser.get("/view").await.text(), "5");
}

const NOBODY: &str = "views=0 user=- theme=Light note=";

async fn read(browser: &mut Browser) -> String {
    let response = browser.get("/read").await;
    assert_eq!(response.status, 200);
    response.text()
}

/// What is stored when the process dies, or the connection breaks, before or after the server got a
/// message: with each message of each kind of request.
#[tokio::test]
async fn a_connection_that_breaks_at_any_message_leaves_what_was_or_what_was_to_be() {
    let own = "views=1 user=- theme=Light note=";
    let alices = "views=1 user=alice theme=Light note=";
    let bobs = "views=0 user=bob theme=Light note=";
    let mut kinds = JoinSet::new();
    for (path, before, after) in [
        ("/view", own, "views=2 user=- theme=Light note="),
        ("/view", alices, "views=2 user=alice theme=Light note="),
        ("/rotate", alices, alices),
        ("/login/alice", own, alices),
        ("/login/bob", alices, bobs),
        ("/login/bob", NOBODY, bobs),
        ("/remember/alice", own, alices),
        ("/leave", alices, NOBODY),
        ("/logout", own, NOBODY),
        ("/logout", alices, NOBODY),
    ] {
        kinds.spawn(breaks_everywhere(path, before, after));
    }
    kinds.join_all().await;
}

/// One after the other, because a request of unknown outcome takes as long as its deadline.
async fn breaks_everywhere(path: &str, before: &str, after: &str) {
    let redis = RedisServer::start();
    let gateway = Gateway::to(redis.port()).await;
    let app = App::on(redis, &gateway.url(), "700ms").await;
    for messages in 0.. {
        let mut breaks = 0;
        for delivers in [false, true] {
            let case = format!("{path} from {before}, {messages} {delivers}");
            let cut = Cut {
                after: messages,
                delivers,
            };
            let states = (before, after);
            breaks += usize::from(breaks_at(&app, &gateway, path, states, cut, &case).await);
        }
        if breaks == 0 {
            // The request has sent all that it sends.
            assert!(messages > 1, "{path}: {messages}");
            break;
        }
    }
}

/// Sends a request, and looks at what it left. Whether the connection broke.
async fn breaks_at(
    app: &App,
    gateway: &Gateway,
    path: &str,
    (before, after): (&str, &str),
    cut: Cut,
    case: &str,
) -> bool {
    let redis = app.redis();
    let _: String = redis.command(&["FLUSHALL"]);
    let mut browser = app.browser();
    if before != NOBODY {
        browser.get("/view").await;
    }
    if before.contains("alice") {
        browser.post("/login/alice", &[]).await;
    }
    assert_eq!(read(&mut browser).await, before, "{case}");
    let mut old = browser.clone();
    gateway.cut(Some(cut));
    let response = match path {
        "/view" => browser.get(path).await,
        _ => browser.post(path, &[]).await,
    };
    let broke = gateway.cut(None).is_none();
    let stored = redis.keys();
    assert!(
        redis.ttls().values().all(|ttl| *ttl > 0),
        "{case}: for ever"
    );
    let seen = read(&mut browser).await;
    if response.status == 503 {
        assert!(broke, "{case}");
        // Its session may have got another token, or may have ended.
        assert!([before, after, NOBODY].contains(&&*seen), "{case}: {seen}");
        let removed = |line: &&str| line.contains("Max-Age=0");
        assert!(response.set_cookies().iter().all(removed), "{case}");
    } else {
        assert!(matches!(response.status, 200 | 303), "{case}");
        assert_eq!(seen, after, "{case}");
    }
    // Where the user changes, the first session has ended before the next one says who is logged in. What
    // is left of a create that was tried again, or was cut off, is nobody's, and nobody has its token.
    let is_of_somebody = |key: &&String| redis.command::<bool>(&["HEXISTS", key, "user"]);
    let of_somebody = stored.iter().filter(is_of_somebody).count();
    assert!(of_somebody <= 1, "{case}: {stored:?}");
    assert!(stored.len() <= 3, "{case}: {stored:?}");
    // However it went, the visitor can log in and out again.
    assert_eq!(
        browser.post("/login/alice", &[]).await.status,
        303,
        "{case}"
    );
    assert!(read(&mut browser).await.contains("user=alice"), "{case}");
    assert_eq!(browser.post("/logout", &[]).await.status, 303, "{case}");
    for browser in [&mut browser, &mut old] {
        let seen = read(browser).await;
        assert!(!seen.contains("alice"), "{case}: {seen}");
    }
    broke
}
