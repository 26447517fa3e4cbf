//! Checks `docs/operations.md`: its configurations, Redis settings, log lines and sizes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rocket::figment::Figment;
use rocket::figment::providers::{Format as _, Toml};
use rocket::{Build, Rocket, post, routes};
use rocket_typed_session::store::configured_redis;
use rocket_typed_session::{Session, session};

use crate::app::Visit;
use crate::support::cluster::Cluster;
use crate::support::http::{Browser, Server};
use crate::support::log::{Log, alone};
use crate::support::own::{configured, quiet};
use crate::support::process::{Folder, wait_for};
use crate::support::redis::{RedisServer, Role, Setup};
use crate::support::sentinel::{MASTER, Sentinels};
use crate::support::tls::Certificates;

fn guide() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    fs::read_to_string(path).unwrap()
}

fn blocks(kind: &str) -> Vec<String> {
    let (guide, fence) = (guide(), format!("```{kind}\n"));
    let parts = guide.split(&fence).skip(1);
    parts
        .map(|part| part.split("```").next().unwrap().to_owned())
        .collect()
}

#[test]
fn each_configuration_is_read() {
    let certificates = Certificates::new();
    let secrets = Folder::new("secrets");
    fs::write(secrets.path().join("redis"), "a-long-password\n").unwrap();
    let blocks = blocks("toml");
    let mut read = 0;
    for block in &blocks {
        let text = block
            .replace("/run/secrets", secrets.path().to_str().unwrap())
            .replace("/etc/redis/ca.pem", certificates.ca().to_str().unwrap());
        let figment = Figment::from(rocket::Config::default()).merge(Toml::string(&text).nested());
        let figment = figment.select("release");
        if !figment.contains("databases.sessions")
            || block.contains("rediss:") && !cfg!(feature = "tls")
        {
            continue;
        }
        let store = configured_redis::<Visit>(&figment);
        assert!(store.is_ok(), "{block}: {store:?}");
        read += 1;
    }
    assert!(read >= 3, "{blocks:#?}");
}

/// The settings of a Redis or sentinel file in the guide.
fn settings(file: &str) -> Vec<Vec<String>> {
    let blocks = blocks("text");
    let block = blocks
        .iter()
        .find_map(|block| block.strip_prefix(&format!("# {file}\n")));
    let lines = block.expect(file).lines();
    let settings = lines.map(|line| line.split('#').next().unwrap());
    let settings = settings.map(|line| line.split_whitespace().map(str::to_owned).collect());
    settings
        .filter(|words: &Vec<String>| !words.is_empty())
        .collect()
}

#[test]
fn redis_takes_each_setting() {
    let alone = RedisServer::start();
    let node = RedisServer::start_with(Setup::default().with_role(Role::ClusterNode));
    let mut taken = 0;
    for (file, redis) in [
        ("redis.conf", &alone),
        ("redis.conf of a cluster's node", &node),
    ] {
        for setting in settings(file) {
            let [name, value] = &setting[..] else {
                panic!("{setting:?}");
            };
            let known: BTreeMap<String, String> = redis.command(&["CONFIG", "GET", name]);
            assert!(known.contains_key(name), "{setting:?}");
            // The system limits `maxclients`, and `cluster-enabled` is fixed at the start.
            if !["maxclients", "cluster-enabled"].contains(&name.as_str()) {
                let _: String = redis.command(&["CONFIG", "SET", name, value]);
            }
            taken += 1;
        }
    }
    assert!(taken > 10, "{taken}");
}

#[test]
fn sentinels_take_each_setting() {
    let sentinels = Sentinels::start();
    let settings = settings("sentinel.conf");
    assert!(settings.len() > 2, "{settings:?}");
    for setting in settings {
        let words: Vec<&str> = setting.iter().map(String::as_str).collect();
        match words[..] {
            ["sentinel", "monitor", name, _, _, _] => assert_eq!(name, MASTER),
            ["sentinel", option, name, value] => {
                assert_eq!(name, MASTER);
                let set = ["SENTINEL", "SET", MASTER, option, value];
                let _: String = sentinels.sentinel(0).command(&set);
            }
            _ => panic!("{words:?}"),
        }
    }
}

/// A server with these database keys, and a browser that has tried to see a page.
async fn site(keys: &[(&str, String)]) -> (Server, Browser) {
    let mut figment = crate::app::rocket().figment().clone();
    for (key, value) in keys {
        let value: rocket::figment::value::Value = value.parse().unwrap();
        figment = figment.merge((format!("databases.sessions.{key}"), value));
    }
    let figment = figment.merge(("sessions.visit.timeout", "300ms"));
    let rocket = crate::app::rocket().configure(figment);
    let server = Server::launch(rocket.attach(Visit::fairing())).await;
    let mut browser = server.browser();
    browser.get("/view").await;
    (server, browser)
}

fn url(url: String) -> [(&'static str, String); 1] {
    [("url", format!("{url:?}"))]
}

/// A change is answered 503 after `happens`.
async fn fails_on(redis: RedisServer, happens: impl FnOnce(&RedisServer)) {
    let (_server, mut browser) = site(&url(redis.url())).await;
    happens(&redis);
    assert_eq!(browser.get("/view").await.status, 503);
}

fn set(name: &str, value: &str) -> impl FnOnce(&RedisServer) {
    move |redis| {
        let _: String = redis.command(&["CONFIG", "SET", name, value]);
        redis.end_connections();
    }
}

async fn all_faults() {
    let start = RedisServer::start;
    let mut redis = start();
    let (_server, mut browser) = site(&url(redis.url())).await;
    redis.stop();
    assert_eq!(browser.get("/view").await.status, 503);
    // And a launch without the server.
    site(&url(redis.url())).await;

    fails_on(start(), RedisServer::pause).await;
    fails_on(start(), set("maxmemory", "1")).await;
    fails_on(start(), set("requirepass", "other")).await;
    let redis = start();
    let _: String = redis.command(&["CONFIG", "SET", "requirepass", "secret"]);
    site(&url(format!("redis://:wrong@127.0.0.1:{}", redis.port()))).await;
    fails_on(start(), |redis| {
        let _: String = redis.command(&["ACL", "SETUSER", "default", "-evalsha"]);
    })
    .await;
    fails_on(start(), |redis| {
        let _: String = redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
    })
    .await;
    fails_on(start(), set("maxclients", "1")).await;
    let redis = start();
    let _: String = redis.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    site(&url(redis.url())).await;
    // Some of these sessions belong to other nodes.
    let cluster = Cluster::start();
    let (server, _) = site(&url(cluster.node(0).url())).await;
    for _ in 0..20 {
        server.browser().get("/view").await;
    }
    for key in ["url", "urls"] {
        let node = RedisServer::start_cluster();
        let value = match key {
            "urls" => format!("[{:?}]", node.url()),
            _ => format!("{:?}", node.url()),
        };
        let keys = [(key, value)];
        let (_server, mut browser) = site(&keys).await;
        let words = ["CLUSTER", "DELSLOTSRANGE", "0", "16383"];
        let _: String = node.command(&words);
        wait_for("a cluster that is down", || {
            node.attempt::<()>(&["GET", "key"]).err()
        });
        assert_eq!(browser.get("/view").await.status, 503);
        // And a launch in that state.
        site(&keys).await;
    }

    let sentinels = Sentinels::start();
    let keys = |master: &str| {
        let urls = ("sentinel.urls", format!("{:?}", sentinels.urls()));
        [("sentinel.master", format!("{master:?}")), urls]
    };
    // Otherwise the request ends before the sentinels are given up.
    let [master, urls] = keys("nobody");
    site(&[master, urls, ("connect_timeout", "\"100ms\"".into())]).await;
    let (_server, mut browser) = site(&keys(MASTER)).await;
    for server in sentinels.servers() {
        server.pause();
    }
    assert_eq!(browser.get("/view").await.status, 503);

    #[cfg(feature = "tls")]
    {
        let certificates = Certificates::expired();
        let redis = RedisServer::start_tls(&certificates, false);
        let ca = ("tls.ca", format!("{:?}", certificates.ca()));
        let [address] = url(redis.tls_url());
        site(&[address, ca]).await;
    }
}

#[test]
fn each_line_of_the_runbooks_is_logged() {
    alone(async || {
        let log = Log::keep();
        all_faults().await;
        let logged: Vec<_> = log.lines().into_iter().map(|line| line.text).collect();
        let blocks = blocks("log");
        let expected: Vec<_> = blocks.iter().flat_map(|block| block.lines()).collect();
        assert!(expected.len() > 10, "{expected:#?}");
        for line in expected {
            if line.contains("certificate") && !cfg!(feature = "tls") {
                continue;
            }
            let is_it = |text: &String| {
                let mut rest = text.as_str();
                line.split('…').all(|part| {
                    let found = rest.split_once(part);
                    rest = found.map_or("", |(_, after)| after);
                    found.is_some()
                })
            };
            assert!(logged.iter().any(is_it), "{line}\n{logged:#?}");
        }
    });
}

#[test]
fn its_metrics_exist() {
    let source = include_str!("../../session-core/src/event.rs");
    let guide = guide();
    let words = guide.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let named: Vec<_> = words
        .filter(|word| word.starts_with("session_") && *word != "session_admin")
        .collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        // An exporter adds these to a histogram.
        let name = name.trim_end_matches("_count").trim_end_matches("_bucket");
        assert!(source.contains(&format!("\"{name}\"")), "{name}");
    }
    let chapter = include_str!("../../src/guide/errors.md");
    for label in ["event", "reason", "outcome", "call"] {
        for part in guide.split(&format!("{label}=\"")).skip(1) {
            let value = part.split('"').next().unwrap();
            assert!(chapter.contains(&format!("`{value}`")), "{value}");
        }
    }
}

#[session(cookie = "login", max_size = "4KiB")]
struct Login {
    #[session(counter)]
    views: u64,
    #[session(identity)]
    user: Option<String>,
}

/// The session of `docs/performance.md`.
#[session(cookie = "usual")]
struct Usual {
    #[session(counter)]
    views: u64,
    #[session(identity)]
    user: Option<String>,
    theme: String,
    language: String,
    city: String,
    last_search: String,
    note: String,
}

#[session(cookie = "shop")]
struct Shop {
    #[session(identity)]
    user: Option<String>,
    #[session(entries)]
    cart: BTreeMap<String, u32>,
}

#[post("/fill")]
fn fill(mut login: Session<Login>, mut usual: Session<Usual>, mut shop: Session<Shop>) {
    let user = "ann@example.org";
    login.views += 1;
    login.log_in(user.into());
    usual.views += 1;
    let text = |text: &str| format!("{text:20}");
    usual.theme = text("dark");
    usual.language = text("en");
    usual.city = text("Vienna");
    usual.last_search = text("green tea");
    usual.note = text("by the door");
    usual.log_in(user.into());
    shop.cart = (0..20).map(|n| (format!("item-{n:04}"), n)).collect();
    shop.log_in(user.into());
}

fn three_types() -> Rocket<Build> {
    let rocket = quiet().attach(Login::fairing()).attach(Usual::fairing());
    rocket.attach(Shop::fairing()).mount("/", routes![fill])
}

/// The bytes that Redis needs for one more session of the type, and for its user.
fn growth(redis: &RedisServer, name: &str) -> [i64; 3] {
    const COPIES: i64 = 50_000;
    // Keys of the same length, with the same time to live.
    let script = "for i = 1, ARGV[1] do
        redis.call('COPY', KEYS[1], KEYS[1]:sub(1, -7) .. string.format('%06d', i))
    end";
    let used = || {
        let info: String = redis.command(&["INFO", "memory"]);
        let mut lines = info.lines();
        let used = lines.find_map(|line| line.strip_prefix("used_memory:"));
        used.unwrap().parse::<i64>().unwrap()
    };
    let keys = redis.all_keys();
    let key = |mark: &str| {
        let start = format!("session:{name}{mark}");
        keys.iter().find(|key| key.starts_with(&start)).unwrap()
    };
    let usage: i64 = redis.command(&["MEMORY", "USAGE", key(":"), "SAMPLES", "0"]);
    let grown = [":", "@"].map(|mark| {
        let before = used();
        let copies = COPIES.to_string();
        let _: Option<()> = redis.command(&["EVAL", script, "1", key(mark), &copies]);
        (used() - before) / COPIES
    });
    [usage, grown[0], grown[1]]
}

#[tokio::test]
async fn a_session_takes_as_much_memory_as_it_says() {
    let rows = [
        ("login", "who is logged in, and a counter"),
        ("usual", "seven fields, five of them texts of 20 letters"),
        ("shop", "who is logged in, and a map of 20 entries"),
    ];
    let mut measured = Vec::new();
    for (name, words) in rows {
        // An empty server each time, so that its tables have the same size.
        let redis = RedisServer::start();
        let rocket = configured(three_types(), "databases.sessions.url", &redis.url());
        let server = Server::launch(rocket).await;
        assert_eq!(server.browser().post("/fill", &[]).await.status, 200);
        measured.push((words, growth(&redis, name)));
    }
    eprintln!("{measured:?}");
    let guide = guide();
    for (words, measured) in measured {
        let row = guide
            .lines()
            .find(|line| line.starts_with(&format!("| {words} |")));
        let cells = row.unwrap_or_else(|| panic!("no row: {words}")).split('|');
        let said: Vec<i64> = cells.filter_map(|cell| cell.trim().parse().ok()).collect();
        assert_eq!(said.len(), 3, "{words}");
        for (said, measured) in said.iter().zip(measured) {
            // Versions and allocators differ.
            let is_near = measured * 10 > said * 7 && measured * 10 < said * 14;
            assert!(is_near, "{words}: {said}, measured {measured}");
        }
    }
}

/// Without the test's own connection.
fn connections(redis: &RedisServer) -> usize {
    let clients: String = redis.command(&["CLIENT", "LIST", "TYPE", "normal"]);
    clients.lines().count() - 1
}

#[tokio::test]
async fn a_process_has_one_connection_to_each_server_for_each_session_type() {
    let redis = RedisServer::start();
    let rocket = configured(three_types(), "databases.sessions.url", &redis.url());
    let server = Server::launch(rocket).await;
    for _ in 0..20 {
        assert_eq!(server.browser().post("/fill", &[]).await.status, 200);
    }
    assert_eq!(connections(&redis), 3);

    let cluster = Cluster::start();
    let rocket = three_types();
    let figment = rocket.figment().clone();
    let rocket = rocket.configure(figment.merge(("databases.sessions.urls", cluster.urls())));
    let server = Server::launch(rocket).await;
    for _ in 0..40 {
        assert_eq!(server.browser().post("/fill", &[]).await.status, 200);
    }
    for master in 0..3 {
        assert_eq!(connections(cluster.node(master)), 3, "{master}");
    }
}
