//! What a server refuses while an application runs. What needs it is a 503, in time, and nobody is
//! logged out; when the server stops refusing, all goes on without a restart.

use std::time::{Duration, Instant};

use log::Level;

use crate::app::App;
use crate::support::gateway::{Gateway, Says};
use crate::support::http::{Browser, Request};
use crate::support::log::{Log, alone};
use crate::support::process::{Folder, wait_for};
use crate::support::redis::RedisServer;

const DEADLINE: Duration = Duration::from_millis(500);

/// The statuses of a read, a change and a logout while the server refuses all.
pub(crate) const NOTHING: [u16; 3] = [503, 503, 503];

/// The same while it refuses changes.
const READS_ALONE: [u16; 3] = [200, 503, 503];

/// An application on a Redis, and a browser in which Alice has seen one page.
pub(crate) struct Site {
    pub(crate) app: App,
    pub(crate) browser: Browser,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::on(RedisServer::start()).await
    }

    pub(crate) async fn on(redis: RedisServer) -> Self {
        let url = redis.url();
        Self::at(&url, redis).await
    }

    /// With the address under which the application knows its server.
    pub(crate) async fn at(url: &str, redis: RedisServer) -> Self {
        let app = App::on(redis, url, "500ms").await;
        // The server knows the scripts.
        let mut other = app.browser();
        for path in ["/login/eve", "/logout"] {
            assert_eq!(other.post(path, &[]).await.status, 303, "{path}");
        }
        let mut browser = app.browser();
        browser.post("/login/alice", &[]).await;
        assert_eq!(browser.get("/view").await.text(), "1");
        Self { app, browser }
    }

    pub(crate) fn redis(&self) -> &RedisServer {
        self.app.redis()
    }

    fn set(&self, name: &str, value: &str) {
        let _: String = self.redis().command(&["CONFIG", "SET", name, value]);
    }

    /// Reads, changes and logs out while the server refuses.
    pub(crate) async fn refused(&mut self, expected: [u16; 3]) {
        let jar = self.browser.jar.clone();
        let requests = [
            Request::get("/read"),
            Request::get("/view"),
            Request::post("/logout", &[]),
        ];
        for (request, expected) in requests.into_iter().zip(expected) {
            let began = Instant::now();
            let response = self.browser.send(request).await;
            let took = began.elapsed();
            assert!(took < 2 * DEADLINE, "{took:?}");
            assert_eq!(response.status, expected);
            if expected == 503 {
                assert_eq!(response.text(), "caught 503");
            }
            assert!(response.set_cookies().is_empty(), "{response:?}");
        }
        assert_eq!(self.browser.jar, jar);
        assert_eq!(self.browser.get("/static").await.status, 200);
    }

    /// Nothing was done of what was refused, and the next request is answered.
    pub(crate) async fn goes_on(mut self) {
        let response = self.browser.get("/read").await;
        let alice = "views=1 user=alice theme=Light note=";
        assert_eq!((response.status, &*response.text()), (200, alice));
        assert_eq!(self.browser.get("/view").await.text(), "2");
        assert_eq!(self.browser.post("/logout", &[]).await.status, 303);
        assert_eq!(self.redis().keys(), [""; 0]);
    }
}

/// READONLY, as after a failover of which nobody has told the application. Who changes something finds out
/// at once.
#[tokio::test]
async fn a_server_that_has_become_a_replica_is_left() {
    let mut site = Site::new().await;
    // Nobody is there to copy from.
    let _: String = site.redis().command(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(site.browser.get("/view").await.status, 503);
    site.refused(NOTHING).await;
    let _: String = site.redis().command(&["REPLICAOF", "NO", "ONE"]);
    site.goes_on().await;
}

#[tokio::test]
async fn who_only_reads_finds_out_within_a_second_that_the_server_has_become_a_replica() {
    let mut site = Site::new().await;
    let _: String = site.redis().command(&["REPLICAOF", "127.0.0.1", "1"]);
    let began = Instant::now();
    while site.browser.get("/read").await.status == 200 {
        assert!(began.elapsed() < Duration::from_secs(3));
    }
    site.refused(NOTHING).await;
}

/// A replica that is being filled has nothing. So it must not say what is not there, nor that a session
/// has ended.
#[tokio::test]
async fn a_replica_that_has_nothing_yet_ends_nobodys_session() {
    let becomes_empty = |site: &Site, other: &RedisServer| {
        let port = other.port().to_string();
        let _: String = site.redis().command(&["REPLICAOF", "127.0.0.1", &port]);
        wait_for("a copy of nothing", || {
            site.redis().all_keys().is_empty().then_some(())
        });
    };
    let other = RedisServer::start();
    let mut site = Site::new().await;
    becomes_empty(&site, &other);
    site.refused(NOTHING).await;
    for (method, path) in [("POST", "/slow/logout"), ("GET", "/slow/view")] {
        let site = Site::new().await;
        let mut browser = site.browser.clone();
        let request = tokio::spawn(async move { browser.send(Request::new(method, path)).await });
        site.app.gate.entered().await;
        becomes_empty(&site, &other);
        site.app.gate.release();
        assert_eq!(request.await.unwrap().status, 503, "{path}");
    }
}

/// MASTERDOWN.
#[tokio::test]
async fn a_replica_that_has_lost_its_master_is_an_outage() {
    let mut site = Site::new().await;
    site.set("replica-serve-stale-data", "no");
    let _: String = site.redis().command(&["REPLICAOF", "127.0.0.1", "1"]);
    site.refused(NOTHING).await;
    let _: String = site.redis().command(&["REPLICAOF", "NO", "ONE"]);
    site.goes_on().await;
}

/// NOREPLICAS. The library does not wait for replicas; the server does it for all clients.
#[tokio::test]
async fn a_master_that_misses_its_replicas_is_read_and_stores_nothing() {
    let mut site = Site::new().await;
    site.set("min-replicas-to-write", "1");
    site.refused(READS_ALONE).await;
    site.set("min-replicas-to-write", "0");
    site.goes_on().await;
}

/// MISCONF.
#[tokio::test]
async fn a_server_that_cannot_save_its_data_is_read_and_stores_nothing() {
    let folder = Folder::new("dumps");
    let mut redis = RedisServer::start();
    let path = folder.path().to_str().unwrap();
    redis.restart_with(&["--dir", path, "--save", "3600 1000000"]);
    let mut site = Site::on(redis).await;
    drop(folder);
    let _: String = site.redis().command(&["BGSAVE"]);
    site.redis()
        .wait_for_info("persistence", "rdb_last_bgsave_status:err");
    site.refused(READS_ALONE).await;
    site.set("stop-writes-on-bgsave-error", "no");
    site.goes_on().await;
}

/// BUSY.
#[tokio::test]
async fn a_script_that_does_not_end_is_an_outage_until_it_is_killed() {
    let mut site = Site::new().await;
    site.set("lua-time-limit", "20");
    let endless = ["EVAL", "while true do end", "0"];
    let _connection = site.redis().begin(&endless);
    let refused = wait_for("a busy server", || {
        site.redis().attempt::<()>(&["PING"]).err()
    });
    assert_eq!(refused.code(), Some("BUSY"));
    site.refused(NOTHING).await;
    let _: String = site.redis().command(&["SCRIPT", "KILL"]);
    // It ends a moment later.
    wait_for("its end", || site.redis().attempt::<()>(&["PING"]).ok());
    site.goes_on().await;
}

/// LOADING.
#[tokio::test]
async fn a_server_that_reads_its_dump_is_an_outage_until_it_has_read_it() {
    let mut site = Site::new().await;
    let fill = "for i = 1, 3000 do redis.call('SET', 'other:' .. i, string.rep('x', 600)) end";
    let _: Option<String> = site.redis().command(&["EVAL", fill, "0"]);
    let _: String = site.redis().command(&["SAVE"]);
    // Half a minute, in steps between which it answers.
    let slowly = [
        "--key-load-delay",
        "10000",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    site.app.redis_mut().restart_with(&slowly);
    let refusal = site.redis().refusal(&["GET", "other:1"]);
    assert!(refusal.contains("loading"), "{refusal}");
    site.refused(NOTHING).await;
    site.set("key-load-delay", "0");
    site.redis().wait_for_info("persistence", "\nloading:0");
    let _: String = site.redis().command(&[
        "EVAL",
        "redis.call('DEL', unpack(redis.call('KEYS', 'other:*'))) return 'done'",
        "0",
    ]);
    site.goes_on().await;
}

/// NOAUTH: the server wants a password and the application has none.
#[tokio::test]
async fn a_server_that_begins_to_want_a_password_is_an_outage_until_it_stops() {
    let mut site = Site::new().await;
    site.set("requirepass", "secret");
    site.redis().end_connections();
    site.refused(NOTHING).await;
    site.set("requirepass", "");
    site.goes_on().await;
}

/// WRONGPASS: the server wants another password than the application has.
#[tokio::test]
async fn a_password_that_was_changed_is_an_outage_until_it_is_changed_back() {
    let redis = RedisServer::start();
    let _: String = redis.command(&["CONFIG", "SET", "requirepass", "secret"]);
    let url = format!("redis://:secret@127.0.0.1:{}", redis.port());
    let mut site = Site::at(&url, redis).await;
    site.set("requirepass", "another");
    // Redis asks nobody again who is connected already.
    assert_eq!(site.browser.get("/read").await.status, 200);
    site.redis().end_connections();
    site.refused(NOTHING).await;
    site.set("requirepass", "secret");
    site.goes_on().await;
}

/// NOPERM.
#[tokio::test]
async fn a_permission_that_is_taken_away_is_missed_until_it_is_given_back() {
    let mut site = Site::new().await;
    let rule = |site: &Site, rule: &str| {
        let _: String = site.redis().command(&["ACL", "SETUSER", "default", rule]);
    };
    rule(&site, "-evalsha");
    site.refused(READS_ALONE).await;
    rule(&site, "-hmget");
    site.refused(NOTHING).await;
    rule(&site, "+@all");
    site.goes_on().await;
}

/// `ERR max number of clients reached`, and the connection is closed.
#[tokio::test]
async fn a_server_with_too_many_clients_is_an_outage_until_there_are_fewer() {
    let mut site = Site::new().await;
    // The test itself is one.
    site.set("maxclients", "1");
    site.redis().end_connections();
    site.refused(NOTHING).await;
    site.set("maxclients", "100");
    site.goes_on().await;
}

/// CLUSTERDOWN: sessions on one node of a cluster.
#[tokio::test]
async fn a_node_that_has_lost_its_slots_is_an_outage_until_it_has_them_again() {
    let mut site = Site::on(RedisServer::start_cluster()).await;
    let slots = |verb: &str| -> String {
        let words = ["CLUSTER", verb, "0", "16383"];
        site.redis().command(&words)
    };
    slots("DELSLOTSRANGE");
    let refused = wait_for("a cluster that is down", || {
        site.redis().attempt::<()>(&["GET", "key"]).err()
    });
    assert_eq!(refused.code(), Some("CLUSTERDOWN"));
    site.refused(NOTHING).await;
    let words = ["CLUSTER", "ADDSLOTSRANGE", "0", "16383"];
    let _: String = site.redis().command(&words);
    wait_for("the cluster", || {
        site.redis().attempt::<()>(&["GET", "key"]).ok()
    });
    site.goes_on().await;
}

/// Those of a cluster among them, which a single server never gives: a proxy might.
#[test]
fn whatever_a_server_refuses_is_a_503_and_named_in_the_log() {
    alone(async || {
        let log = Log::keep();
        for (line, said) in [
            ("-ASK 7 127.0.0.1:1", "ASK; it is a node of a cluster"),
            ("-BUSY running a script", "BUSY"),
            (
                "-CLUSTERDOWN Hash slot not served",
                "CLUSTERDOWN; its cluster has no node for this slot",
            ),
            ("-ERR max number of clients reached", "ERR"),
            ("-LOADING Redis is loading the dataset in memory", "LOADING"),
            ("-MASTERDOWN Link with MASTER is down", "MASTERDOWN"),
            ("-MISCONF Errors writing to the AOF file", "MISCONF"),
            ("-MOVED 7 127.0.0.1:1", "MOVED; it is a node of a cluster"),
            (
                "-NOAUTH Authentication required.",
                "NOAUTH; check user and password",
            ),
            (
                "-NOPERM this user has no permissions",
                "NOPERM; the Redis user lacks a permission",
            ),
            ("-NOREPLICAS Not enough good replicas", "NOREPLICAS"),
            ("-NOSCRIPT No matching script", "NOSCRIPT"),
            (
                "-OOM command not allowed",
                "OOM; it has reached its `maxmemory`",
            ),
            (
                "-READONLY You can't write against a read only replica.",
                "READONLY; it is a replica",
            ),
            ("-TRYAGAIN Multiple keys request", "TRYAGAIN"),
            ("-UNHEARDOF of any kind", "UNHEARDOF"),
            (
                "-WRONGPASS invalid username-password pair",
                "WRONGPASS; check user and password",
            ),
        ] {
            let redis = RedisServer::start();
            let gateway = Gateway::to(redis.port()).await;
            // Each application may say so once a second.
            let mut site = Site::at(&gateway.url(), redis).await;
            let before = log.with(said).len();
            gateway.say(Says::Line(line));
            eprintln!("{line}");
            site.refused(NOTHING).await;
            let lines = log.with(said).split_off(before);
            let is_told = lines.iter().any(|line| line.level == Level::Error);
            assert!(is_told, "{line}: {:#?}", log.lines());
            gateway.say(Says::Truth);
            site.goes_on().await;
        }
    });
}
