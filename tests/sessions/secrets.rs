//! Secrets that never appear anywhere: session tokens, CSRF tokens and passwords.

use std::sync::Arc;

use log::trace;
use rocket::form::{Form, FromForm};
use rocket::http::Status;
use rocket::{get, post, routes};
use rocket_typed_session::{CsrfToken, Error, Session, SessionId, Sessions, session};
use session_core::testing::ManualClock;
use tokio::task::JoinSet;

use crate::app::MINUTE;
use crate::support::http::{Browser, Request, Response, Server};
use crate::support::log::{Log, alone};
use crate::support::own::{configured, quiet};
use crate::support::redis::RedisServer;
use crate::support::secrets::Secrets;

const PASSWORD: &str = "opensesame";
const WRONG_PASSWORD: &str = "openbarley";
const OF_REDIS: &str = "hunter2";
const ANOTHER_OF_REDIS: &str = "hunter3";

#[session(cookie = "visit", devices, max_sessions = 2)]
#[session(guard(Admin = is_admin, status = 403), guard(Recent, within = "5m"))]
struct Visit {
    #[session(counter)]
    views: u64,
    #[session(identity, guard(Member, redirect = "/form"))]
    user: Option<String>,
}

fn is_admin(visit: &Visit) -> bool {
    visit.user.as_deref() == Some("admin")
}

#[derive(FromForm)]
struct Login<'r> {
    user: String,
    password: &'r str,
}

/// Applications log what `Debug` shows.
#[get("/form")]
async fn form(mut visit: Session<Visit>, token: CsrfToken<Visit>) -> Result<String, Error> {
    visit.views += 1;
    visit.save().await?;
    trace!("{visit:?} {token:?}");
    Ok(token.to_string())
}

#[post("/login", data = "<login>")]
fn login(login: Form<Login<'_>>, mut visit: Session<Visit>) -> Status {
    if login.password != PASSWORD {
        return Status::Unauthorized;
    }
    visit.log_in(login.user.clone());
    Status::Ok
}

#[post("/rotate")]
fn rotate(mut visit: Session<Visit>) {
    visit.rotate_token();
}

#[get("/devices")]
async fn devices(member: Member, sessions: Sessions<Visit>) -> Result<String, Error> {
    let user = sessions.of(member.clone());
    let list = user.list().await?;
    trace!("{member:?} {sessions:?} {user:?} {list:?}");
    let others = list.iter().find(|device| !device.is_current);
    Ok(others.map_or("-".into(), |device| device.id.to_string()))
}

#[post("/devices/<id>/end")]
async fn end(id: SessionId, member: Member, sessions: Sessions<Visit>) -> Result<String, Error> {
    let ended = sessions.of(member.clone()).end(id).await?;
    Ok(ended.to_string())
}

#[post("/log-out-everywhere")]
async fn everywhere(member: Recent, sessions: Sessions<Visit>) -> Result<String, Error> {
    let user = member.user.clone().unwrap_or_default();
    Ok(sessions.of(user).end_all().await?.to_string())
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) {
    visit.destroy();
}

#[get("/admin")]
fn admin(admin: Admin) -> String {
    trace!("{admin:?}");
    admin.views.to_string()
}

/// Notes the secrets of each response, and checks that Redis does not hold them.
struct Audit {
    redis: RedisServer,
    secrets: Secrets,
}

impl Audit {
    async fn send(&mut self, browser: &mut Browser, request: Request) -> Response {
        let response = browser.send(request).await;
        self.secrets.jar(&browser.jar);
        self.secrets.assert_not_in_redis(&self.redis);
        response
    }

    async fn get(&mut self, browser: &mut Browser, path: &str) -> Response {
        self.send(browser, Request::get(path)).await
    }

    async fn form(&mut self, browser: &mut Browser) -> String {
        let token = self.get(browser, "/form").await.text();
        self.secrets.csrf_token(&token);
        token
    }

    async fn post(&mut self, browser: &mut Browser, path: &str) -> Response {
        let token = self.form(browser).await;
        let request = Request::post(path, &[("csrf_token", &token)]);
        self.send(browser, request).await
    }

    async fn log_in(&mut self, browser: &mut Browser, user: &str) {
        let token = self.form(browser).await;
        let wrong = login_of(user, WRONG_PASSWORD, &token);
        assert_eq!(self.send(browser, wrong).await.status, 401);
        let right = login_of(user, PASSWORD, &token);
        assert_eq!(self.send(browser, right).await.status, 200);
    }
}

/// As browsers encode it: a password of letters stays as typed.
fn login_of(user: &str, password: &str, token: &str) -> Request {
    let body = format!("csrf_token={token}&user={user}&password={password}");
    let request = Request::new("POST", "/login").header("User-Agent", "Phone");
    request.body("application/x-www-form-urlencoded", body)
}

#[test]
fn no_secret_is_in_a_key_or_in_the_log_whatever_happens() {
    alone(async || {
        let log = Log::keep();
        let redis = RedisServer::start();
        let _: String = redis.command(&["CONFIG", "SET", "requirepass", OF_REDIS]);
        let mut audit = Audit {
            redis,
            secrets: Secrets::default(),
        };
        for password in [PASSWORD, WRONG_PASSWORD, OF_REDIS, ANOTHER_OF_REDIS] {
            audit.secrets.text(password);
        }
        let (server, clock) = launch(&audit.redis).await;
        tour(&server, &clock, &mut audit).await;
        outages(&server, &mut audit).await;
        audit.secrets.assert_not_in_log(log);
        // There were secrets to find.
        assert!(audit.secrets.tokens() > 15, "{}", audit.secrets.tokens());
        for expected in [
            "Session {",
            "CsrfToken(",
            "UserSession {",
            "replaced long ago",
            "that nobody issued",
            "WRONGPASS",
        ] {
            let lines = log.lines();
            assert!(!log.with(expected).is_empty(), "{expected}: {lines:#?}");
        }
    });
}

async fn launch(redis: &RedisServer) -> (Server, Arc<ManualClock>) {
    let url = format!("redis://:{OF_REDIS}@127.0.0.1:{}", redis.port());
    let rocket = configured(quiet(), "databases.sessions.url", &url);
    let rocket = configured(rocket, "sessions.visit.timeout", "1s");
    let clock = Arc::new(ManualClock::new());
    let fairing = Visit::fairing().clock(Arc::clone(&clock));
    let rocket = rocket.attach(fairing).attach(Visit::csrf());
    let routes = routes![form, login, rotate, devices, end, everywhere, logout, admin];
    (Server::launch(rocket.mount("/", routes)).await, clock)
}

async fn tour(server: &Server, clock: &ManualClock, audit: &mut Audit) {
    let mut ann = server.browser();
    audit.log_in(&mut ann, "ann").await;
    refused(server, audit, &mut ann).await;
    assert_eq!(audit.get(&mut ann, "/admin").await.status, 403);

    // The third session ends the first.
    let (mut phone, mut laptop) = (server.browser(), server.browser());
    audit.log_in(&mut phone, "ann").await;
    audit.log_in(&mut laptop, "ann").await;
    assert_eq!(audit.get(&mut ann, "/devices").await.status, 303);
    let id = audit.get(&mut laptop, "/devices").await.text();
    let ended = audit.post(&mut laptop, &format!("/devices/{id}/end")).await;
    assert_eq!(ended.text(), "true");
    assert_eq!(audit.get(&mut phone, "/devices").await.status, 303);

    // A stolen token that was replaced.
    let mut thief = laptop.clone();
    audit.post(&mut laptop, "/rotate").await;
    audit.get(&mut thief, "/devices").await;
    clock.advance(MINUTE);
    audit.get(&mut thief, "/devices").await;
    // Forged tokens: with the id of a session whose token was never replaced, and with an unknown id.
    let mut stranger = server.browser();
    audit.form(&mut stranger).await;
    let (own, stolen) = (stranger.jar.get("visit"), thief.jar.get("visit"));
    let (own, stolen) = (own.unwrap().to_owned(), stolen.unwrap().to_owned());
    for id in [&own[..22], &own[22..44]] {
        let planted = format!("{id}{}", &stolen[22..]);
        stranger.jar.set("visit", &planted);
        audit.get(&mut stranger, "/devices").await;
    }

    let mut boss = server.browser();
    audit.log_in(&mut boss, "admin").await;
    assert_eq!(audit.get(&mut boss, "/admin").await.status, 200);
    // Another user in the same session, then nobody.
    audit.log_in(&mut boss, "ann").await;
    let ended = audit.post(&mut boss, "/log-out-everywhere").await;
    assert_eq!(ended.text(), "2");
    assert_eq!(audit.get(&mut laptop, "/devices").await.status, 303);
    audit.log_in(&mut laptop, "ann").await;
    assert_eq!(audit.post(&mut laptop, "/logout").await.status, 200);
    assert!(laptop.jar.is_empty());
}

async fn refused(server: &Server, audit: &mut Audit, ann: &mut Browser) {
    let own = audit.form(ann).await;
    let others = audit.form(&mut server.browser()).await;
    let post = |token: &str| Request::post("/logout", &[("csrf_token", token)]);
    for request in [
        Request::post("/logout", &[]),
        post(&others),
        post("").header("X-CSRF-Token", &others),
        post(&own).header("Sec-Fetch-Site", "cross-site"),
        post(&own).header("Origin", "https://evil.example"),
        login_of("eve", PASSWORD, &own).header("Sec-Fetch-Site", "cross-site"),
        login_of("eve", PASSWORD, &others),
    ] {
        assert_eq!(audit.send(ann, request).await.status, 403);
    }
}

async fn outages(server: &Server, audit: &mut Audit) {
    let mut ann = server.browser();
    audit.log_in(&mut ann, "ann").await;
    let token = audit.form(&mut ann).await;
    audit.redis.pause();
    fails(&ann, &token).await;
    audit.redis.resume();
    audit.secrets.assert_not_in_redis(&audit.redis);
    audit.redis.stop();
    fails(&ann, &token).await;
    audit.redis.restart();
    let words = ["CONFIG", "SET", "requirepass", ANOTHER_OF_REDIS];
    let _: String = audit.redis.command(&words);
    fails(&ann, &token).await;
    audit.secrets.assert_not_in_redis(&audit.redis);
}

/// At once, since each may take its whole deadline.
async fn fails(browser: &Browser, token: &str) {
    let mut requests = JoinSet::new();
    for request in [
        Request::get("/devices"),
        Request::get("/form"),
        Request::post("/logout", &[]).header("X-CSRF-Token", token),
        login_of("ann", PASSWORD, token),
    ] {
        let mut browser = browser.clone();
        requests.spawn(async move { browser.send(request).await.status });
    }
    assert_eq!(requests.join_all().await, [503; 4]);
}
