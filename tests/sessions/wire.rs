//! Faults on the way to a server: foreign bytes, late bytes, and a connection that breaks at any message.

use std::time::Duration;

use log::Level;
use rocket::local::asynchronous::Client;
use tokio::task::JoinSet;

use crate::app::{App, Visit, rocket};
use crate::site::{NOTHING, Site, alone_on_each_topology, on_each_topology};
use crate::support::gateway::{Cut, Says};
use crate::support::http::{Browser, Server};
use crate::support::log::Log;
use crate::support::own::configured;
use crate::support::servers::{Servers, Topology};

on_each_topology!(
    a_stranger_on_the_port_is_an_outage_until_redis_is_there_again,
    an_answer_to_another_question_is_an_outage_and_no_empty_session,
    an_answer_that_comes_byte_by_byte_is_read_and_one_that_comes_too_late_is_an_outage,
    a_connection_that_died_without_a_word_is_replaced,
    a_connection_that_breaks_at_any_message_leaves_what_was_or_what_was_to_be,
);

alone_on_each_topology!(a_stranger_on_the_port_stops_a_launch_that_is_to_fail_and_no_other);

/// What another program may say on Redis' port.
const STRANGERS: [&[u8]; 9] = [
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x15\x03\x01\x00\x02\x02\x46",
    b"\x00\xff\x00\xff\x00\xff\r\n",
    b"\r\n\r\n\r\n\r\n",
    b"$-7\r\n",
    b"*-7\r\n",
    // Too large for any memory.
    b"*2000000000\r\n",
    b"$400000000000\r\n",
];

/// Valid answers to other questions.
const WRONG_ANSWERS: [&str; 5] = ["+OK", ":1", "$-1", "*0", "*1\r\n*1\r\n+OK"];

/// All on one server; elsewhere the parsing is the same, and under sentinels each takes a whole deadline.
fn strangers(topology: Topology) -> &'static [&'static [u8]] {
    match topology {
        Topology::One => &STRANGERS,
        Topology::Sentinel | Topology::Cluster => &STRANGERS[..2],
    }
}

async fn a_stranger_on_the_port_is_an_outage_until_redis_is_there_again(topology: Topology) {
    let mut site = Site::behind_gateways(topology).await;
    let strangers = strangers(topology).iter().map(|bytes| Says::Junk(bytes));
    for says in strangers.chain([Says::Nothing]) {
        eprintln!("{says:?}");
        site.gateway().say(says);
        site.refused(NOTHING).await;
        site.gateway().say(Says::Truth);
        site.goes_on().await;
        site = site.again().await;
    }
}

async fn an_answer_to_another_question_is_an_outage_and_no_empty_session(topology: Topology) {
    let mut site = Site::behind_gateways(topology).await;
    for answer in WRONG_ANSWERS {
        eprintln!("{answer}");
        site.gateway().say(Says::Line(answer));
        site.refused(NOTHING).await;
        site.gateway().say(Says::Truth);
        site.goes_on().await;
        site = site.again().await;
    }
}

async fn a_stranger_on_the_port_stops_a_launch_that_is_to_fail_and_no_other(topology: Topology) {
    let log = Log::keep();
    let servers = Servers::behind_gateways(topology).await;
    let all_say = |says| {
        for gateway in servers.gateways() {
            gateway.say(says);
        }
    };
    for (number, stranger) in strangers(topology).iter().enumerate() {
        all_say(Says::Junk(stranger));
        let make = |on_start| {
            let rocket = configured(
                servers.known_to(rocket()),
                "sessions.visit.timeout",
                "500ms",
            );
            configured(rocket, "sessions.visit.on_start", on_start).attach(Visit::fairing())
        };
        let failed = Client::untracked(make("fail")).await;
        assert!(failed.is_err_and(|error| error.kind().to_string().contains("fairing")));
        let server = Server::launch(make("warn")).await;
        let mut browser = server.browser();
        assert_eq!(browser.get("/view").await.status, 503);
        all_say(Says::Truth);
        assert_eq!(browser.get("/view").await.text(), "1");
        let lines = log.with("does not answer");
        assert_eq!(lines.len(), 2 * (number + 1), "{lines:#?}");
        assert!(lines.iter().all(|line| line.level == Level::Error));
    }
}

async fn an_answer_that_comes_byte_by_byte_is_read_and_one_that_comes_too_late_is_an_outage(
    topology: Topology,
) {
    let mut site = Site::behind_gateways(topology).await;
    site.gateway().say(Says::Slowly(Duration::ZERO));
    for views in 2..5 {
        assert_eq!(site.browser.get("/view").await.text(), views.to_string());
    }
    // An answer has more than a hundred bytes.
    site.gateway().say(Says::Slowly(Duration::from_millis(10)));
    site.refused(NOTHING).await;
    site.gateway().say(Says::Truth);
    // The connection with the slow answer is replaced.
    let mut tries = 0;
    while site.browser.get("/read").await.status != 200 {
        tries += 1;
        assert!(tries < 5);
    }
    assert_eq!(site.browser.get("/view").await.text(), "5");
}

/// A machine that is gone says nothing; new connections lead to its replacement.
async fn a_connection_that_died_without_a_word_is_replaced(topology: Topology) {
    let mut site = Site::behind_gateways(topology).await;
    site.gateway().kill_silently();
    let mut tries = 0;
    while site.browser.get("/read").await.status != 200 {
        tries += 1;
        assert!(tries < 5);
        site.goes_on_elsewhere().await;
    }
    site.goes_on().await;
}

const NOBODY: &str = "views=0 user=- theme=Light note=";

async fn read(browser: &mut Browser) -> String {
    let response = browser.get("/read").await;
    assert_eq!(response.status, 200);
    response.text()
}

/// The process dies or the connection breaks before or after each message of each kind of request.
async fn a_connection_that_breaks_at_any_message_leaves_what_was_or_what_was_to_be(
    topology: Topology,
) {
    let own = "views=1 user=- theme=Light note=";
    let alices = "views=1 user=alice theme=Light note=";
    let bobs = "views=0 user=bob theme=Light note=";
    let all = [
        ("/login/alice", own, alices),
        ("/login/bob", alices, bobs),
        ("/logout", alices, NOBODY),
        ("/view", alices, "views=2 user=alice theme=Light note="),
        ("/rotate", alices, alices),
        ("/view", own, "views=2 user=- theme=Light note="),
        ("/login/bob", NOBODY, bobs),
        ("/remember/alice", own, alices),
        ("/leave", alices, NOBODY),
        ("/logout", own, NOBODY),
    ];
    // One of each kind.
    let kinds = match topology {
        Topology::One => &all[..],
        Topology::Sentinel | Topology::Cluster => &all[..5],
    };
    let mut breaking = JoinSet::new();
    for (path, before, after) in kinds {
        breaking.spawn(breaks_everywhere(topology, path, before, after));
    }
    breaking.join_all().await;
}

async fn breaks_everywhere(
    topology: Topology,
    path: &'static str,
    before: &'static str,
    after: &'static str,
) {
    let servers = Servers::behind_gateways(topology).await;
    let app = App::on(&servers, "700ms").await;
    for messages in 0.. {
        let mut breaks = 0;
        for delivers in [false, true] {
            let case = format!("{path} from {before}, {messages} {delivers}");
            let cut = Cut {
                after: messages,
                delivers,
            };
            let states = (before, after);
            breaks += usize::from(breaks_at(&app, &servers, path, states, cut, &case).await);
        }
        if breaks == 0 {
            // The request sends no more messages.
            assert!(messages > 1, "{path}: {messages}");
            break;
        }
    }
}

/// Returns whether the connection broke.
async fn breaks_at(
    app: &App,
    servers: &Servers,
    path: &str,
    (before, after): (&str, &str),
    cut: Cut,
    case: &str,
) -> bool {
    servers.tell_all(&["FLUSHALL"]);
    let mut browser = app.browser();
    if before != NOBODY {
        browser.get("/view").await;
    }
    if before.contains("alice") {
        browser.post("/login/alice", &[]).await;
    }
    assert_eq!(read(&mut browser).await, before, "{case}");
    let mut old = browser.clone();
    // All gateways share one plan.
    let gateway = &servers.gateways()[0];
    gateway.cut(Some(cut));
    let response = match path {
        "/view" => browser.get(path).await,
        _ => browser.post(path, &[]).await,
    };
    let broke = gateway.cut(None).is_none();
    let stored = servers.keys();
    for master in servers.masters() {
        let mut ttls = master.ttls().into_values();
        assert!(ttls.all(|ttl| ttl > 0), "{case}: for ever");
    }
    let seen = read(&mut browser).await;
    if response.status == 503 {
        assert!(broke, "{case}");
        // The session may have another token, or may have ended.
        assert!([before, after, NOBODY].contains(&&*seen), "{case}: {seen}");
        let removed = |line: &&str| line.contains("Max-Age=0");
        assert!(response.set_cookies().iter().all(removed), "{case}");
    } else {
        assert!(matches!(response.status, 200 | 303), "{case}");
        assert_eq!(seen, after, "{case}");
    }
    // A change of user ends the first session before the next has a user. A create that was retried or cut
    // off leaves a session without a user.
    let is_of_somebody = |key: &&String| {
        let master = &servers.masters()[servers.master_of(key)];
        master.command::<bool>(&["HEXISTS", key, "user"])
    };
    let of_somebody = stored.iter().filter(is_of_somebody).count();
    assert!(of_somebody <= 1, "{case}: {stored:?}");
    assert!(stored.len() <= 3, "{case}: {stored:?}");
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
