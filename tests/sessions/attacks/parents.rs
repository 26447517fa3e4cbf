//! What a hostile client tries with child sessions.

use std::sync::Arc;

use rocket::{Build, Rocket, State, get, post, routes};
use rocket_typed_session::{Error, Session, TransactError, session};
use session_core::testing::{Fault, Moment, Verb};

use crate::app::Gate;
use crate::support::http::{Browser, Server};
use crate::support::own::{REFUSED, UNHEARD, configured, faulty, on_all_stores, quiet};
use crate::support::redis::RedisServer;

#[session(cookie = "visit")]
struct Visit {
    #[session(identity)]
    user: Option<String>,
    note: String,
    #[session(on_unreadable = "drop_session")]
    level: u8,
}

#[session(cookie = "admin", parent = Visit)]
struct Admin {
    #[session(identity)]
    admin: Option<String>,
    #[session(counter)]
    acts: u64,
}

#[post("/login/<user>")]
fn login(mut visit: Session<Visit>, user: String) {
    visit.log_in(user);
}

#[post("/rotate")]
fn rotate(mut visit: Session<Visit>) {
    visit.rotate_token();
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) {
    visit.destroy();
}

#[post("/note/<text>")]
fn note(mut visit: Session<Visit>, text: String) {
    visit.note = text;
}

#[post("/level/<level>")]
fn level(mut visit: Session<Visit>, level: u8) {
    visit.level = level;
}

#[post("/slow/note/<text>")]
async fn slow_note(mut visit: Session<Visit>, gate: &State<Arc<Gate>>, text: String) {
    gate.pass_if(true).await;
    visit.note = text;
}

#[post("/slow/both")]
async fn slow_both(mut visit: Session<Visit>, mut admin: Session<Admin>, gate: &State<Arc<Gate>>) {
    gate.pass_if(true).await;
    visit.note = "both".into();
    admin.acts += 1;
}

#[post("/slow/both/login")]
async fn slow_login(mut visit: Session<Visit>, mut admin: Session<Admin>, gate: &State<Arc<Gate>>) {
    gate.pass_if(true).await;
    visit.note = "both".into();
    admin.log_in("root".into());
}

#[post("/slow/both/logout")]
async fn slow_logout(
    mut visit: Session<Visit>,
    mut admin: Session<Admin>,
    gate: &State<Arc<Gate>>,
) {
    gate.pass_if(true).await;
    visit.note = "both".into();
    admin.destroy();
}

#[get("/visit")]
fn visit(visit: Session<Visit>) -> String {
    format!("{} {}", visit.user.as_deref().unwrap_or("-"), visit.note)
}

#[post("/admin/login/<admin>")]
fn admin_login(mut session: Session<Admin>, admin: String) {
    session.log_in(admin);
}

#[post("/admin/act")]
fn act(mut admin: Session<Admin>) {
    admin.acts += 1;
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

#[post("/both-saved/<user>")]
async fn both_saved(
    mut visit: Session<Visit>,
    mut admin: Session<Admin>,
    user: String,
) -> Result<(), Error> {
    visit.log_in(user.clone());
    admin.log_in(user);
    admin.save().await?;
    Ok(())
}

fn app(rocket: Rocket<Build>) -> Rocket<Build> {
    gated(&Arc::new(Gate::new()))(rocket)
}

fn mounted(rocket: Rocket<Build>) -> Rocket<Build> {
    let rocket = rocket.mount(
        "/",
        routes![login, rotate, logout, note, level, visit, both_saved],
    );
    let rocket = rocket.mount("/", routes![slow_note, slow_both, slow_login, slow_logout]);
    rocket.mount("/", routes![admin_login, act, admin, admin_logout])
}

fn gated(gate: &Arc<Gate>) -> impl Fn(Rocket<Build>) -> Rocket<Build> {
    let gate = Arc::clone(gate);
    move |rocket| mounted(fairings(rocket).manage(Arc::clone(&gate)))
}

fn fairings(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket.attach(Visit::fairing()).attach(Admin::fairing())
}

async fn on_redis(redis: &RedisServer) -> Server {
    let url = redis.url();
    Server::launch(app(configured(quiet(), "databases.sessions.url", &url))).await
}

fn key_of_visit(redis: &RedisServer) -> String {
    let mut keys = redis.keys().into_iter();
    keys.find(|key| key.starts_with("session:visit:")).unwrap()
}

async fn logged_in(server: &Server) -> Browser {
    let mut browser = server.browser();
    browser.post("/login/alice", &[]).await;
    browser.post("/admin/login/root", &[]).await;
    assert_eq!(browser.get("/admin").await.text(), "root 0");
    browser
}

/// Runs `other` while `slow` waits in its handler.
async fn meanwhile(
    gate: &Gate,
    browser: &Browser,
    slow: &'static str,
    other: &str,
    mut by: Browser,
) -> (crate::support::http::Response, Browser) {
    let mut slow_browser = browser.clone();
    let waiting = tokio::spawn(async move { slow_browser.post(slow, &[]).await });
    gate.entered().await;
    assert_eq!(by.post(other, &[]).await.status, 200);
    gate.release();
    (waiting.await.unwrap(), by)
}

/// README, guarantees 2 and 11.
#[tokio::test]
async fn a_thief_who_rotates_the_parent_does_not_outlive_a_logout() {
    on_all_stores(app, async |server| {
        let mut victim = logged_in(&server).await;
        let mut thief = server.browser();
        thief.jar = victim.jar.clone();
        thief.post("/rotate", &[]).await;
        assert_eq!(thief.get("/admin").await.text(), "root 0");
        let status = victim.post("/admin/logout", &[]).await.status;
        let left = thief.get("/admin").await.text();
        assert!(status == 503 || left == "- 0", "{status} {left}");
    })
    .await;
}

/// SECURITY.md: the response never claims a logout that did not happen.
#[tokio::test]
async fn planted_cookies_of_the_parent_do_not_fake_a_logout() {
    on_all_stores(app, async |server| {
        let victim = logged_in(&server).await;
        let mut other = server.browser();
        other.post("/note/mine", &[]).await;
        let planted = other.jar.get("visit").unwrap();
        let own = victim.jar.get("visit").unwrap();
        let mut attacked = victim.clone();
        attacked
            .jar
            .set("visit", &format!("{planted}; visit={own}"));
        let status = attacked.post("/admin/logout", &[]).await.status;
        let mut thief = victim.clone();
        let left = thief.get("/admin").await.text();
        assert!(status == 503 || left == "- 0", "{status} {left}");
    })
    .await;
}

#[tokio::test]
async fn a_planted_child_does_not_count() {
    on_all_stores(app, async |server| {
        let mut victim = logged_in(&server).await;
        let mallory = logged_in(&server).await;
        let own = victim.jar.get("admin").unwrap().to_owned();
        let planted = mallory.jar.get("admin").unwrap();
        victim.jar.set("admin", &format!("{planted}; admin={own}"));
        assert_eq!(victim.get("/admin").await.text(), "root 0");
        let mut mallory = mallory.clone();
        assert_eq!(victim.post("/admin/act", &[]).await.status, 200);
        assert_eq!(mallory.get("/admin").await.text(), "root 0");
        // The planted cookie alone opens nothing.
        victim.jar.set("admin", planted);
        assert_eq!(victim.get("/admin").await.text(), "- 0");
    })
    .await;
}

#[tokio::test]
async fn a_rotation_beside_a_write_to_the_parent_leaves_the_child_alone() {
    let gate = Arc::new(Gate::new());
    on_all_stores(gated(&gate), async |server| {
        for slow in ["/slow/note/x", "/slow/both"] {
            for other in ["/rotate", "/login/alice"] {
                let browser = logged_in(&server).await;
                let (response, mut browser) =
                    meanwhile(&gate, &browser, slow, other, browser.clone()).await;
                assert_eq!(response.status, 200, "{slow} {other}");
                let cookies = response.set_cookies();
                assert!(cookies.is_empty(), "{slow} {other}: {cookies:?}");
                let read = browser.get("/admin").await.text();
                assert!(read.starts_with("root"), "{slow} {other}: {read}");
            }
        }
    })
    .await;
}

/// The guide: at the end of a request, `is_gone` is no error. SECURITY.md: a late request stores nothing.
#[tokio::test]
async fn a_late_request_that_begins_a_child_is_no_error() {
    let gate = Arc::new(Gate::new());
    on_all_stores(gated(&gate), async |server| {
        let mut browser = server.browser();
        browser.post("/login/alice", &[]).await;
        let mut late = browser.clone();
        browser.post("/rotate", &[]).await;
        let response = late.post("/admin/act", &[]).await;
        assert_eq!((response.status, response.set_cookies().len()), (200, 0));
        let response = late.post("/admin/login/root", &[]).await;
        assert_eq!((response.status, response.set_cookies().len()), (503, 0));
        // The token is replaced, or the visit ends, during the request.
        for (slow, other, status) in [
            ("/slow/both", "/rotate", 200),
            ("/slow/both", "/logout", 200),
            ("/slow/both/login", "/rotate", 503),
        ] {
            let mut browser = server.browser();
            browser.post("/login/alice", &[]).await;
            let (response, _) = meanwhile(&gate, &browser, slow, other, browser.clone()).await;
            assert_eq!(response.status, status, "{slow} {other}");
            assert!(response.set_cookies().is_empty(), "{slow} {other}");
        }
    })
    .await;
}

/// SECURITY.md: if a logout's outcome is unknown, or it was not done, the response is 503.
#[tokio::test]
async fn a_logout_that_was_not_stored_beside_a_rotation_is_no_logout() {
    let gate = Arc::new(Gate::new());
    let admins = faulty();
    let rocket = quiet()
        .attach(Visit::fairing())
        .attach(Admin::fairing().store(admins.clone()))
        .manage(Arc::clone(&gate))
        .mount("/", routes![login, rotate, admin_login, admin, slow_logout]);
    let server = Server::launch(rocket).await;
    let browser = logged_in(&server).await;
    for nth in 1..=3 {
        admins.on(Verb::Delete, nth, REFUSED);
    }
    let (response, mut browser) = meanwhile(
        &gate,
        &browser,
        "/slow/both/logout",
        "/rotate",
        browser.clone(),
    )
    .await;
    let left = browser.get("/admin").await.text();
    assert!(
        response.status == 503 || left == "- 0",
        "{} {left}",
        response.status
    );
    server.stop().await;
}

/// README, guarantee 6: the cookie stays.
#[tokio::test]
async fn an_outage_of_the_parents_store_leaves_the_child_alone() {
    let visits = faulty();
    let rocket = quiet().attach(Visit::fairing().store(visits.clone()));
    let rocket = rocket
        .attach(Admin::fairing())
        .manage(Arc::new(Gate::new()));
    let server = Server::launch(mounted(rocket)).await;
    let mut browser = logged_in(&server).await;
    for nth in 1..=3 {
        visits.on(Verb::Delete, nth, REFUSED);
    }
    let response = browser.post("/logout", &[]).await;
    assert_eq!((response.status, response.set_cookies()), (503, vec![]));
    assert_eq!(browser.get("/visit").await.text(), "alice ");
    assert_eq!(browser.get("/admin").await.text(), "root 0");
    server.stop().await;
}

#[tokio::test]
async fn a_parent_that_counts_as_absent_opens_no_child() {
    let redis = RedisServer::start();
    let server = on_redis(&redis).await;
    let mut browser = logged_in(&server).await;
    let visit = key_of_visit(&redis);
    let _: i64 = redis.command(&["HSET", &visit, "level", "\"high\""]);
    assert_eq!(browser.get("/admin").await.text(), "- 0");
    // Only for this build: one that can read the field goes on.
    let response = browser.get("/visit").await;
    assert_eq!(
        (response.text().as_str(), response.set_cookies()),
        ("- ", vec![])
    );
    let _: i64 = redis.command(&["HDEL", &visit, "level"]);
    assert_eq!(browser.get("/admin").await.text(), "root 0");
    server.stop().await;
}

/// The guide: a child opens only while the parent's user is the same.
#[tokio::test]
async fn a_user_who_cannot_be_read_is_not_nobody() {
    let redis = RedisServer::start();
    let server = on_redis(&redis).await;
    let mut browser = server.browser();
    browser.post("/note/planted", &[]).await;
    browser.post("/admin/login/mallory", &[]).await;
    // A newer build logs alice in, and writes the user in another form.
    let planted = browser.jar.get("admin").unwrap().to_owned();
    browser.jar.set("admin", "");
    browser.post("/login/alice", &[]).await;
    browser.jar.set("admin", &planted);
    let visit = key_of_visit(&redis);
    let _: i64 = redis.command(&["HSET", &visit, "user", "{\"name\":\"alice\"}"]);
    assert_eq!(browser.get("/admin").await.text(), "- 0");
    server.stop().await;
}

#[tokio::test]
async fn what_was_saved_in_the_request_that_logs_in_stays() {
    on_all_stores(app, async |server| {
        let mut browser = server.browser();
        browser.post("/note/anonymous", &[]).await;
        for user in ["alice", "bob"] {
            let status = browser
                .post(&format!("/both-saved/{user}"), &[])
                .await
                .status;
            let read = browser.get("/admin").await.text();
            assert!(
                status != 200 || read == format!("{user} 0"),
                "{status} {read}"
            );
        }
    })
    .await;
}

#[session(cookie = "wizard", parent = Admin)]
struct Wizard {
    #[session(counter)]
    step: u64,
}

#[post("/wizard")]
async fn wizard_on(mut wizard: Session<Wizard>, mut admin: Session<Admin>) -> Result<(), Error> {
    admin.acts += 1;
    wizard.step += 1;
    wizard.save().await
}

#[post("/wizard/reload")]
async fn wizard_reload(
    mut visit: Session<Visit>,
    mut wizard: Session<Wizard>,
) -> Result<(), TransactError<Error>> {
    visit.note.push('r');
    let step = |wizard: &mut Wizard| {
        wizard.step += 1;
        Ok(())
    };
    wizard.transact(step).await
}

#[post("/admin/act-if-any")]
fn act_if_any(mut admin: Session<Admin>) {
    if !admin.is_new() {
        admin.acts += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_meets_no_error() {
    let make = |rocket: Rocket<Build>| {
        let rocket = app(rocket).attach(Wizard::fairing());
        rocket.mount("/", routes![wizard_on, wizard_reload, act_if_any])
    };
    on_all_stores(make, async |server| {
        // A wizard request may answer 401 if another request has ended its parent.
        let steps = [
            "/rotate",
            "/note/x",
            "/admin/act",
            "/admin/login/root",
            "/admin/logout",
            "/admin/act-if-any",
            "/wizard",
            "/wizard/reload",
        ];
        for round in 0..40 {
            let mut browser = server.browser();
            browser.post("/login/alice", &[]).await;
            browser.post("/admin/login/root", &[]).await;
            browser.post("/wizard", &[]).await;
            let sent = (0..6).map(|nth| {
                let mut browser = browser.clone();
                let step = steps[(round * 7 + nth * (round + 2)) % steps.len()];
                tokio::spawn(async move {
                    let response = browser.post(step, &[]).await;
                    (step, response.status, response.text())
                })
            });
            for sent in sent.collect::<Vec<_>>() {
                let (step, status, text) = sent.await.unwrap();
                let needs_admin = step.starts_with("/wizard");
                assert!(
                    matches!(status, 200 | 503) || needs_admin && status == 401,
                    "{step}: {status} {text}"
                );
            }
        }
    })
    .await;
}

#[post("/give-up")]
async fn give_up(mut visit: Session<Visit>, mut admin: Session<Admin>) -> Result<(), Error> {
    visit.note = "lost".into();
    let waiting = tokio::time::timeout(std::time::Duration::from_millis(20), visit.save());
    let _ = waiting.await;
    admin.reload().await
}

#[tokio::test]
async fn a_reload_of_the_child_hides_no_doubt_about_the_parent() {
    let visits = faulty();
    let rocket = quiet().attach(Visit::fairing().store(visits.clone()));
    let rocket = rocket
        .attach(Admin::fairing())
        .manage(Arc::new(Gate::new()));
    let server = Server::launch(mounted(rocket).mount("/", routes![give_up])).await;
    let mut browser = logged_in(&server).await;
    let late = Fault::Delay(Moment::Before, std::time::Duration::from_secs(3));
    visits.on(Verb::Update, 1, late);
    let status = browser.post("/give-up", &[]).await.status;
    let read = browser.get("/visit").await.text();
    assert!(status == 503 || read == "alice lost", "{status} {read}");
    server.stop().await;
}

#[session(cookie = "few", parent = Visit, max_sessions = 1, when_full = "refuse")]
struct Few {
    #[session(identity)]
    admin: Option<String>,
}

#[post("/few/<admin>")]
fn few(mut session: Session<Few>, admin: String) {
    session.log_in(admin);
}

/// A session that a logout ended does not count towards `max_sessions`.
#[tokio::test]
async fn a_session_that_has_ended_with_its_parent_keeps_nobody_out() {
    let make = |rocket| {
        let rocket = app(rocket).attach(Few::fairing());
        rocket.mount("/", routes![few])
    };
    on_all_stores(make, async |server| {
        let mut browser = server.browser();
        browser.post("/login/alice", &[]).await;
        assert_eq!(browser.post("/few/root", &[]).await.status, 200);
        let mut other = server.browser();
        other.post("/login/alice", &[]).await;
        assert_eq!(other.post("/few/root", &[]).await.status, 409);
        // The logout's path does not get its cookie.
        browser.jar.set("few", "");
        browser.post("/logout", &[]).await;
        browser.post("/login/alice", &[]).await;
        assert_eq!(browser.post("/few/root", &[]).await.status, 200);
    })
    .await;
}

/// Whatever fails in either store: no false logout is claimed, no child opens without its parent, and a user
/// who keeps the parent keeps the child.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_claims_hold() {
    let mut cases = Vec::new();
    for op in [
        "/logout",
        "/admin/logout",
        "/login/bob",
        "/login/alice",
        "/both/bob",
        "/admin/login/other",
    ] {
        for verb in [
            Verb::Create,
            Verb::Delete,
            Verb::Load,
            Verb::Step,
            Verb::Update,
        ] {
            for nth in 1..=2 {
                for fault in [REFUSED, UNHEARD, Fault::Lose] {
                    for of_parent in [true, false] {
                        cases.push((op, verb, nth, fault, of_parent));
                    }
                }
            }
        }
    }
    for cases in cases.chunks(60) {
        let tried = cases.iter().map(|&case| tokio::spawn(hold(case)));
        for tried in tried.collect::<Vec<_>>() {
            tried.await.unwrap();
        }
    }
}

#[post("/both/<user>")]
fn both(mut visit: Session<Visit>, mut admin: Session<Admin>, user: String) {
    visit.log_in(user.clone());
    admin.log_in(user);
}

async fn hold(case: (&'static str, Verb, usize, Fault, bool)) {
    let (op, verb, nth, fault, of_parent) = case;
    let (visits, admins) = (faulty(), faulty());
    let rocket = quiet()
        .attach(Visit::fairing().store(visits.clone()))
        .attach(Admin::fairing().store(admins.clone()))
        .manage(Arc::new(Gate::new()));
    let server = Server::launch(mounted(rocket).mount("/", routes![both])).await;
    let mut browser = logged_in(&server).await;
    let mut thief = browser.clone();
    let store = if of_parent { &visits } else { &admins };
    let calls = || {
        store
            .calls()
            .iter()
            .filter(|call| call.verb == verb)
            .count()
    };
    let before = calls();
    store.on(verb, nth, fault);
    let status = browser.post(op, &[]).await.status;
    if calls() - before < nth {
        // The operation makes fewer than `nth` such calls.
        return server.stop().await;
    }
    assert!(matches!(status, 200 | 503), "{case:?}: {status}");
    let stolen = (
        thief.get("/visit").await.text(),
        thief.get("/admin").await.text(),
    );
    let own = (
        browser.get("/visit").await.text(),
        browser.get("/admin").await.text(),
    );
    let what = format!("{case:?}: {status} {stolen:?} {own:?}");
    assert!(
        !stolen.1.starts_with("root") || stolen.0.starts_with("alice"),
        "{what}"
    );
    assert!(
        !own.1.starts_with("root") || own.0.starts_with("alice"),
        "{what}"
    );
    if status == 200 && op != "/login/alice" && op != "/admin/login/other" {
        assert!(stolen.1.starts_with('-'), "{what}");
    }
    if own.0.starts_with("alice") && op.starts_with("/log") {
        assert!(own.1.starts_with("root"), "{what}");
    }
    if status == 200 && op == "/both/bob" {
        assert_eq!(own, ("bob ".into(), "bob 0".into()), "{what}");
    }
    if status == 200 && op == "/admin/login/other" {
        assert_eq!(own.1, "other 0", "{what}");
    }
    server.stop().await;
}
