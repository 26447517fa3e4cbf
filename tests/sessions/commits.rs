//! A commit is sent once, and nothing of a request lands after its answer: on a real server, behind a proxy
//! that delays, swallows and cuts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rocket::{Build, Rocket, State, get, post, routes};
use rocket_typed_session::{Error, Session, session};
use tokio::time::timeout;

use crate::app::Gate;
use crate::support::http::{Browser, Server};
use crate::support::own::{configured, quiet};
use crate::support::process::PATIENCE;
use crate::support::proxy::Proxy;
use crate::support::redis::RedisServer;

#[session(cookie = "visit")]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(identity)]
    user: Option<String>,
    note: String,
}

const DEADLINE: Duration = Duration::from_millis(700);

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    format!(
        "views={} user={:?} note={}",
        visit.views, visit.user, visit.note
    )
}

#[post("/view?<wait>")]
async fn view(mut visit: Session<Visit>, gate: &State<Arc<Gate>>, wait: bool) {
    visit.views += 1;
    gate.pass_if(wait).await;
}

#[post("/note/<text>?<wait>")]
async fn note(mut visit: Session<Visit>, gate: &State<Arc<Gate>>, text: &str, wait: bool) {
    visit.note = text.into();
    gate.pass_if(wait).await;
}

#[post("/login/<user>?<wait>")]
async fn login(mut visit: Session<Visit>, gate: &State<Arc<Gate>>, user: &str, wait: bool) {
    visit.user = Some(user.into());
    visit.note = format!("of {user}");
    gate.pass_if(wait).await;
}

#[post("/logout?<wait>")]
async fn logout(mut visit: Session<Visit>, gate: &State<Arc<Gate>>, wait: bool) {
    visit.destroy();
    gate.pass_if(wait).await;
}

#[post("/save?<wait>")]
async fn save(mut visit: Session<Visit>, gate: &State<Arc<Gate>>, wait: bool) -> String {
    visit.views += 1;
    gate.pass_if(wait).await;
    let saved: Result<(), Error> = visit.save().await;
    match saved {
        Ok(()) => "done".into(),
        Err(error) => format!("unknown={} gone={}", error.is_unknown(), error.is_gone()),
    }
}

struct World {
    redis: RedisServer,
    proxy: Proxy,
    server: Server,
    gate: Arc<Gate>,
}

impl World {
    async fn new() -> Self {
        let redis = RedisServer::start();
        let proxy = Proxy::to(redis.port()).await;
        let gate = Arc::new(Gate::new());
        let url = format!("redis://127.0.0.1:{}", proxy.port());
        let rocket: Rocket<Build> = configured(quiet(), "databases.sessions.url", &url);
        let timeout = format!("{}ms", DEADLINE.as_millis());
        let rocket = configured(rocket, "sessions.visit.timeout", &timeout)
            .manage(Arc::clone(&gate))
            .attach(Visit::fairing())
            .mount("/", routes![read, view, note, login, logout, save]);
        let server = Server::launch(rocket).await;
        Self {
            redis,
            proxy,
            server,
            gate,
        }
    }

    /// Sends `count` requests, and calls `what` when all their handlers have the session.
    async fn during(
        &self,
        browser: &Browser,
        path: &str,
        count: usize,
        what: impl FnOnce(),
    ) -> Vec<u16> {
        let path = format!("{path}?wait=true");
        let requests: Vec<_> = (0..count)
            .map(|_| {
                let (mut browser, path) = (browser.clone(), path.clone());
                tokio::spawn(async move { browser.post(&path, &[]).await.status })
            })
            .collect();
        for _ in 0..count {
            // A request whose load timed out never gets here.
            let entered = timeout(PATIENCE, self.gate.entered()).await;
            entered.expect("a handler that has its session");
        }
        what();
        for _ in 0..count {
            self.gate.release();
        }
        let mut statuses = Vec::new();
        for request in requests {
            statuses.push(request.await.unwrap());
        }
        statuses
    }

    fn field(&self, key: &str, name: &str) -> Option<String> {
        self.redis.command(&["HGET", key, name])
    }
}

/// A session with one view, and its key; the server knows all scripts.
async fn begun(world: &World) -> (Browser, String) {
    let mut first = world.server.browser();
    for path in ["/view", "/view", "/logout"] {
        first.post(path, &[]).await;
    }
    let mut browser = world.server.browser();
    browser.post("/view", &[]).await;
    (browser, world.redis.keys().pop().unwrap())
}

async fn counts_none_twice(count: usize) {
    let world = World::new().await;
    let (browser, key) = begun(&world).await;
    let views = || {
        world
            .field(&key, "views")
            .unwrap()
            .parse::<usize>()
            .unwrap()
            - 1
    };
    let mut answered = 0;
    let swallowing = async {
        let statuses = world
            .during(&browser, "/view", count, || world.proxy.swallow())
            .await;
        answered += statuses.iter().filter(|status| **status == 200).count();
    };
    let cutting = async {
        // Cuts the connection when all commits are done, or when a busy machine can no longer do the rest in
        // time.
        let mut until = Instant::now() + PATIENCE;
        while views() < count && Instant::now() < until {
            if views() > 0 {
                until = until.min(Instant::now() + DEADLINE);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world.proxy.cut();
    };
    tokio::join!(swallowing, cutting);
    let counted = views();
    assert!(
        counted >= answered,
        "{answered} answered, {counted} counted"
    );
    assert!(counted <= count, "{counted} of {count}: some twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_400_commits_whose_answers_were_cut_off_none_counts_twice() {
    counts_none_twice(400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_2000_commits_whose_answers_were_cut_off_none_counts_twice() {
    counts_none_twice(2000).await;
}

#[tokio::test]
async fn an_unknown_outcome_is_told_when_nothing_can_land_any_more() {
    let world = World::new().await;
    let (browser, key) = begun(&world).await;
    for path in ["/view", "/logout"] {
        let began = Instant::now();
        let lose = || {
            world.proxy.swallow();
            world.proxy.cut();
        };
        let statuses = world.during(&browser, path, 1, lose).await;
        // A commit that may be under way is answered 503 only at its deadline.
        let was_done = match path {
            "/view" => world.field(&key, "views").as_deref() != Some("1"),
            _ => world.redis.keys().is_empty(),
        };
        match statuses[0] {
            503 => assert!(!was_done || began.elapsed() >= DEADLINE, "{path}"),
            status => assert!(was_done && status == 200, "{path}: {status}"),
        }
    }
}

#[tokio::test]
async fn what_was_held_back_changes_nothing_after_the_next_commit() {
    let world = World::new().await;
    let (mut browser, key) = begun(&world).await;
    let statuses = world
        .during(&browser, "/note/late", 1, || world.proxy.hold())
        .await;
    assert_eq!(statuses, [503]);
    assert_eq!(browser.post("/note/acknowledged", &[]).await.status, 200);
    release(&world).await;
    assert_eq!(
        world.field(&key, "note").as_deref(),
        Some("\"acknowledged\"")
    );
}

#[tokio::test]
async fn what_was_held_back_brings_nothing_back_after_a_logout() {
    for late in ["/note/late", "/login/eve"] {
        let world = World::new().await;
        let (mut browser, _) = begun(&world).await;
        let mut old = browser.clone();
        let statuses = world.during(&browser, late, 1, || world.proxy.hold()).await;
        assert_eq!(statuses, [503]);
        assert_eq!(browser.post("/logout", &[]).await.status, 200);
        release(&world).await;
        assert!(world.redis.keys().is_empty(), "{late}");
        assert_eq!(old.get("/read").await.text(), "views=0 user=None note=");
    }
}

/// A create is retried under another id; when the first one lands, nobody has its token.
#[tokio::test]
async fn a_create_that_was_held_back_brings_nothing_back_after_a_logout() {
    let world = World::new().await;
    begun(&world).await;
    let _: String = world.redis.command(&["FLUSHALL"]);
    let mut browser = world.server.browser();
    world.proxy.hold();
    let status = browser.post("/note/mine", &[]).await.status;
    let mut old = browser.clone();
    if status == 200 {
        assert_eq!(browser.post("/logout", &[]).await.status, 200);
    }
    release(&world).await;
    assert_eq!(old.get("/read").await.text(), "views=0 user=None note=");
}

#[tokio::test]
async fn a_late_logout_ends_no_later_login() {
    let world = World::new().await;
    let (mut browser, key) = begun(&world).await;
    let statuses = world
        .during(&browser, "/logout", 1, || world.proxy.hold())
        .await;
    assert_eq!(statuses, [503], "it is not known to be done");
    assert_eq!(browser.post("/login/alice", &[]).await.status, 200);
    release(&world).await;
    assert_eq!(
        browser.get("/read").await.text(),
        "views=1 user=Some(\"alice\") note=of alice"
    );
    assert_eq!(world.redis.keys(), [key]);
}

#[tokio::test]
async fn save_tells_that_nobody_knows() {
    let world = World::new().await;
    let (mut browser, key) = begun(&world).await;
    let mut slow = browser.clone();
    let request = tokio::spawn(async move { slow.post("/save?wait=true", &[]).await.text() });
    world.gate.entered().await;
    world.proxy.swallow();
    world.gate.release();
    assert_eq!(request.await.unwrap(), "unknown=true gone=false");
    assert_eq!(world.field(&key, "views").as_deref(), Some("2"), "once");
    assert!(browser.get("/read").await.text().starts_with("views=2"));
}

/// As after a failover to a lagging replica.
#[tokio::test]
async fn after_a_rollback_no_request_writes_into_a_session_of_somebody_else() {
    let world = World::new().await;
    let (mut bob, key) = begun(&world).await;
    let before: Vec<u8> = world.redis.command(&["DUMP", &key]);
    let mut alice = bob.clone();
    alice.post("/login/alice", &[]).await;
    let mut slow = alice.clone();
    let request = tokio::spawn(async move { slow.post("/note/secret?wait=true", &[]).await });
    world.gate.entered().await;
    let restore: &[&[u8]] = &[b"RESTORE", key.as_bytes(), b"60000", &before, b"REPLACE"];
    let _: String = world.redis.command_of_bytes(restore);
    bob.post("/login/bob", &[]).await;
    world.gate.release();
    request.await.unwrap();
    let read = bob.get("/read").await.text();
    assert_eq!(read, "views=1 user=Some(\"bob\") note=of bob");
}

fn writes(world: &World) -> u64 {
    let info: String = world.redis.command(&["INFO", "commandstats"]);
    let of = |command: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(command))?;
        line.split(['=', ',']).nth(1)?.parse::<u64>().ok()
    };
    ["cmdstat_evalsha:", "cmdstat_eval:", "cmdstat_del:"]
        .into_iter()
        .filter_map(of)
        .sum()
}

async fn release(world: &World) {
    let before = writes(world);
    world.proxy.release();
    let began = Instant::now();
    while writes(world) == before {
        assert!(began.elapsed() < PATIENCE, "what was held back never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
