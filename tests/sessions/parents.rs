//! Child sessions: an administrator's, which ends with the visit.

use std::sync::Arc;
use std::time::Duration;

use rocket::error::ErrorKind;
use rocket::{Build, Rocket, State, get, post, routes};
use rocket_typed_session::{Error, Session, Sessions, session};
use session_core::testing::{ManualClock, Verb};

use crate::app::Gate;
use crate::redis::commands;
use crate::support::http::{Browser, Server};
use crate::support::own::{REFUSED, configured, faulty, on_all_stores, quiet};
use crate::support::redis::RedisServer;

#[session(cookie = "visit", idle = "30m", touch = "3m")]
struct Visit {
    #[session(identity)]
    user: Option<String>,
    note: String,
}

#[session(cookie = "admin", idle = "10m", parent = Visit)]
struct Admin {
    #[session(identity)]
    admin: Option<String>,
    #[session(counter)]
    acts: u64,
}

/// A third generation, which has no identity.
#[session(cookie = "wizard", parent = Admin)]
struct Wizard {
    step: u32,
}

#[post("/login/<user>")]
fn login(mut visit: Session<Visit>, user: String) {
    visit.log_in(user);
}

#[post("/note/<text>")]
fn note(mut visit: Session<Visit>, text: String) {
    visit.note = text;
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) {
    visit.destroy();
}

#[post("/rotate")]
fn rotate(mut visit: Session<Visit>) {
    visit.rotate_token();
}

#[post("/end-all/<user>")]
async fn end_all(user: String, sessions: &State<Sessions<Visit>>) -> Result<(), Error> {
    sessions.of(user).end_all().await.map(drop)
}

#[post("/admin/login/<admin>")]
fn admin_login(mut session: Session<Admin>, admin: String) {
    session.log_in(admin);
}

#[post("/admin/act")]
fn act(mut admin: Session<Admin>) -> String {
    admin.acts += 1;
    admin.acts.to_string()
}

#[get("/admin")]
fn admin(admin: Session<Admin>) -> String {
    let name = admin.admin.as_deref().unwrap_or("-");
    format!("{name} {}", admin.acts)
}

#[post("/admin/logout")]
fn admin_logout(mut admin: Session<Admin>) {
    admin.destroy();
}

#[get("/admins/<admin>")]
async fn admins(admin: String, sessions: Sessions<Admin>) -> Result<String, Error> {
    Ok(sessions.of(admin).count().await?.to_string())
}

#[post("/both/<user>")]
fn both(mut visit: Session<Visit>, mut admin: Session<Admin>, user: String) {
    visit.log_in(user.clone());
    admin.log_in(user);
}

#[post("/logout-and-act")]
fn logout_and_act(mut visit: Session<Visit>, mut admin: Session<Admin>) {
    admin.acts += 1;
    visit.destroy();
}

#[get("/watch")]
async fn watch(mut admin: Session<Admin>, gate: &State<Arc<Gate>>) -> String {
    gate.pass_if(true).await;
    match admin.reload().await {
        Ok(()) => format!("goes on, {}", admin.acts),
        Err(error) => format!("gone: {}", error.is_gone()),
    }
}

#[get("/wizard")]
fn wizard(wizard: Session<Wizard>) -> String {
    wizard.step.to_string()
}

#[post("/wizard")]
fn wizard_on(mut wizard: Session<Wizard>) {
    wizard.step += 1;
}

fn mounted(rocket: Rocket<Build>) -> Rocket<Build> {
    let of_visits = routes![login, note, logout, rotate, end_all, both];
    let of_admins = routes![
        admin_login,
        act,
        admin,
        admin_logout,
        admins,
        logout_and_act
    ];
    let rocket = rocket.mount("/", of_visits).mount("/", of_admins);
    rocket.mount("/", routes![wizard, wizard_on])
}

fn app(rocket: Rocket<Build>) -> Rocket<Build> {
    let rocket = rocket.attach(Visit::fairing()).attach(Admin::fairing());
    mounted(rocket.attach(Wizard::fairing()))
}

fn app_on(redis: &RedisServer) -> Rocket<Build> {
    app(configured(quiet(), "databases.sessions.url", &redis.url()))
}

async fn logged_in(server: &Server) -> Browser {
    let mut browser = server.browser();
    browser.post("/login/alice", &[]).await;
    browser.post("/admin/login/root", &[]).await;
    assert_eq!(browser.post("/admin/act", &[]).await.text(), "1");
    assert_eq!(browser.get("/admin").await.text(), "root 1");
    browser
}

#[tokio::test]
async fn it_ends_with_its_parent_whatever_ends_that() {
    on_all_stores(app, async |server| {
        for end in ["/logout", "/end-all/alice", "/login/bob"] {
            let mut browser = logged_in(&server).await;
            let mut thief = server.browser();
            thief.jar = browser.jar.clone();
            assert_eq!(thief.get("/admin").await.text(), "root 1");
            browser.post(end, &[]).await;
            assert_eq!(browser.get("/admin").await.text(), "- 0", "{end}");
            assert_eq!(thief.get("/admin").await.text(), "- 0", "{end}");
            // Nor does it come back with another login of the same user.
            thief.jar.set("visit", "");
            thief.post("/login/alice", &[]).await;
            assert_eq!(thief.get("/admin").await.text(), "- 0", "{end}");
        }
    })
    .await;
}

#[tokio::test]
async fn it_goes_on_while_its_parent_does() {
    on_all_stores(app, async |server| {
        let mut browser = logged_in(&server).await;
        for step in ["/rotate", "/note/x", "/login/alice", "/admin/act"] {
            browser.post(step, &[]).await;
        }
        assert_eq!(browser.get("/admin").await.text(), "root 2");
        // Its own logout leaves the parent alone.
        browser.post("/admin/logout", &[]).await;
        assert_eq!(browser.get("/admin").await.text(), "- 0");
        browser.post("/admin/login/root", &[]).await;
        assert_eq!(browser.get("/admin").await.text(), "root 0");
    })
    .await;
}

#[tokio::test]
async fn its_cookie_alone_opens_nothing() {
    on_all_stores(app, async |server| {
        let browser = logged_in(&server).await;
        let stolen = browser.jar.get("admin").unwrap().to_owned();
        let mut thief = server.browser();
        thief.jar.set("admin", &stolen);
        assert_eq!(thief.get("/admin").await.text(), "- 0");
        thief.post("/login/mallory", &[]).await;
        assert_eq!(thief.get("/admin").await.text(), "- 0");
        // Not even a session of the same user.
        thief.post("/login/alice", &[]).await;
        thief.jar.set("admin", &stolen);
        assert_eq!(thief.get("/admin").await.text(), "- 0");
        assert_eq!(server.browser().get("/admins/root").await.text(), "1");
    })
    .await;
}

/// What began before may have been planted.
#[tokio::test]
async fn a_login_in_its_parent_ends_what_began_before() {
    on_all_stores(app, async |server| {
        let mut browser = server.browser();
        browser.post("/note/anonymous", &[]).await;
        browser.post("/admin/login/mallory", &[]).await;
        assert_eq!(browser.get("/admin").await.text(), "mallory 0");
        browser.post("/login/alice", &[]).await;
        assert_eq!(browser.get("/admin").await.text(), "- 0");
    })
    .await;
}

#[tokio::test]
async fn both_begin_in_one_request() {
    on_all_stores(app, async |server| {
        let mut browser = server.browser();
        for user in ["alice", "alice", "bob"] {
            browser.post(&format!("/both/{user}"), &[]).await;
            let expected = format!("{user} 0");
            assert_eq!(browser.get("/admin").await.text(), expected);
        }
        // A login keeps the anonymous session's id, but ends its children.
        let mut browser = server.browser();
        browser.post("/note/anonymous", &[]).await;
        browser.post("/admin/login/mallory", &[]).await;
        browser.post("/both/alice", &[]).await;
        assert_eq!(browser.get("/admin").await.text(), "alice 0");
        assert_eq!(browser.get("/admins/mallory").await.text(), "0");
    })
    .await;
}

#[tokio::test]
async fn without_a_parent_it_does_not_begin() {
    on_all_stores(app, async |server| {
        let mut browser = server.browser();
        for path in ["/admin/login/root", "/admin/act"] {
            let response = browser.post(path, &[]).await;
            assert_eq!(response.status, 401, "{path}");
            assert!(response.set_cookies().is_empty(), "{path}");
        }
        assert_eq!(browser.get("/admin").await.text(), "- 0");
        let mut browser = logged_in(&server).await;
        assert_eq!(browser.post("/logout-and-act", &[]).await.status, 200);
        assert!(browser.jar.is_empty());
    })
    .await;
}

/// The record goes at once if the browser that ends the parent sends its cookie; nothing depends on that.
#[tokio::test]
async fn a_logout_removes_its_record_and_its_cookie() {
    let redis = RedisServer::start();
    let server = Server::launch(app_on(&redis)).await;
    let mut browser = logged_in(&server).await;
    browser.post("/wizard", &[]).await;
    let keys = |name: &str| {
        let keys = redis.keys();
        let of_type = format!("session:{name}:");
        keys.into_iter()
            .filter(|key| key.starts_with(&of_type))
            .count()
    };
    assert_eq!((keys("visit"), keys("admin"), keys("wizard")), (1, 1, 1));
    let response = browser.post("/logout", &[]).await;
    assert_eq!(response.status, 200);
    assert_eq!((keys("visit"), keys("admin"), keys("wizard")), (0, 0, 0));
    assert!(browser.jar.is_empty(), "{:?}", browser.jar);
    server.stop().await;
}

#[tokio::test]
async fn a_record_that_stays_is_not_listed_and_opens_for_nobody() {
    let (visits, admins) = (faulty(), faulty());
    let fairings = quiet()
        .attach(Visit::fairing().store(visits.clone()))
        .attach(Admin::fairing().store(admins.clone()));
    let server = Server::launch(mounted(fairings.attach(Wizard::fairing()))).await;
    let mut browser = logged_in(&server).await;
    let before = browser.jar.clone();
    assert_eq!(browser.get("/admins/root").await.text(), "1");
    for nth in 1..=3 {
        admins.on(Verb::Delete, nth, REFUSED);
    }
    assert_eq!(browser.post("/logout", &[]).await.status, 200);
    let mut thief = server.browser();
    thief.jar = before;
    assert_eq!(thief.get("/admin").await.text(), "- 0");
    assert_eq!(thief.get("/admins/root").await.text(), "0");
    server.stop().await;
}

/// A child is not used while its parent's state is unknown.
#[tokio::test]
async fn a_parent_that_cannot_be_read_is_an_outage() {
    let visits = faulty();
    let fairings = quiet().attach(Visit::fairing().store(visits.clone()));
    let fairings = fairings.attach(Admin::fairing()).attach(Wizard::fairing());
    let server = Server::launch(mounted(fairings)).await;
    let mut browser = logged_in(&server).await;
    visits.on(Verb::Load, 1, REFUSED);
    assert_eq!(browser.get("/admin").await.status, 503);
    assert_eq!(browser.get("/admin").await.text(), "root 1");
    server.stop().await;
}

#[tokio::test]
async fn its_use_extends_its_parent() {
    let clock = Arc::new(ManualClock::new());
    let fairings = quiet()
        .attach(Visit::fairing().clock(clock.clone()))
        .attach(Admin::fairing().clock(clock.clone()))
        .attach(Wizard::fairing());
    let server = Server::launch(mounted(fairings)).await;
    let mut browser = logged_in(&server).await;
    for _ in 0..8 {
        clock.advance(Duration::from_secs(9 * 60));
        assert_eq!(browser.get("/admin").await.text(), "root 1");
    }
    clock.advance(Duration::from_secs(31 * 60));
    assert_eq!(browser.get("/admin").await.text(), "- 0");
    server.stop().await;
}

#[tokio::test]
async fn a_stream_learns_that_the_parent_has_ended() {
    let gate = Arc::new(Gate::new());
    let make = |rocket| {
        let rocket = app(rocket).manage(Arc::clone(&gate));
        rocket.mount("/", routes![watch])
    };
    on_all_stores(make, async |server| {
        for (path, expected) in [
            ("/note/x", "goes on, 1"),
            ("/end-all/bob", "goes on, 1"),
            ("/end-all/alice", "gone: true"),
        ] {
            let mut browser = logged_in(&server).await;
            let mut watching = browser.clone();
            let watching = tokio::spawn(async move { watching.get("/watch").await.text() });
            gate.entered().await;
            browser.post(path, &[]).await;
            gate.release();
            assert_eq!(watching.await.unwrap(), expected, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn three_generations_end_with_the_first() {
    on_all_stores(app, async |server| {
        for end in ["/logout", "/admin/logout", "/end-all/alice", "/login/bob"] {
            let mut browser = logged_in(&server).await;
            browser.post("/wizard", &[]).await;
            assert_eq!(browser.get("/wizard").await.text(), "1");
            browser.post(end, &[]).await;
            assert_eq!(browser.get("/wizard").await.text(), "0", "{end}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_child_is_attached_after_its_parent() {
    for rocket in [
        quiet().attach(Admin::fairing()),
        quiet().attach(Admin::fairing()).attach(Visit::fairing()),
    ] {
        let error = rocket.ignite().await.err().unwrap();
        assert!(
            matches!(error.kind(), ErrorKind::FailedFairings(_)),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_child_whose_parents_cookie_is_elsewhere_stops_the_launch() {
    for (visit, admin, is_launched) in [
        ("/", "/", true),
        ("/", "/admin", true),
        ("/shop", "/shop", true),
        ("/shop", "/shop/admin", true),
        ("/shop/", "/shop/admin", true),
        ("/shop", "/", false),
        ("/shop", "/shopping", false),
        ("/shop", "/admin", false),
    ] {
        let rocket = configured(quiet(), "sessions.visit.path", visit);
        let rocket = configured(rocket, "sessions.admin.path", admin);
        let rocket = rocket.attach(Visit::fairing()).attach(Admin::fairing());
        // A launch error that nobody inspects panics.
        let launched = rocket
            .ignite()
            .await
            .map_err(|error| error.kind().to_string());
        assert_eq!(launched.is_ok(), is_launched, "{visit} {admin}");
    }
}

/// The parent's CSRF fairing protects its children, unless they have their own.
#[tokio::test]
async fn a_child_is_protected_as_its_parent_is() {
    for protected in [
        app(quiet()).attach(Visit::csrf()),
        app(quiet()).attach(Admin::csrf()),
    ] {
        let server = Server::launch(protected).await;
        let mut browser = server.browser().on_site("same-origin");
        browser.post("/login/alice", &[]).await;
        browser.post("/admin/login/root", &[]).await;
        let mut other = server.browser().on_site("cross-site");
        other.jar = browser.jar.clone();
        assert_eq!(other.post("/admin/act", &[]).await.status, 403);
        assert_eq!(browser.get("/admin").await.text(), "root 0");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_read_costs_one_command_for_each_generation() {
    let redis = RedisServer::start();
    let server = Server::launch(app_on(&redis)).await;
    let mut browser = logged_in(&server).await;
    let monitor = redis.monitor();
    browser.get("/admin").await;
    assert_eq!(commands(&monitor), ["HMGET", "HMGET"]);
    server.stop().await;
}

/// Its change is dropped with a warning, as the parent's would be.
#[tokio::test]
async fn a_request_with_the_parents_last_token_changes_nothing() {
    on_all_stores(app, async |server| {
        let mut browser = logged_in(&server).await;
        let mut late = browser.clone();
        browser.post("/rotate", &[]).await;
        let response = late.post("/admin/act", &[]).await;
        assert_eq!((response.status, response.set_cookies().len()), (200, 0));
        assert_eq!(browser.get("/admin").await.text(), "root 1");
    })
    .await;
}
