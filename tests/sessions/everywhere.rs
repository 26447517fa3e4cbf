//! All sessions of a user: listed, limited in number, and ended, whatever logs in meanwhile.

use std::sync::Arc;
use std::time::Duration;

use rocket::error::ErrorKind;
use rocket::serde::json::{Json, serde_json::json};
use rocket::{Build, Rocket, State, get, post, routes, uri};
use rocket_typed_session::store::MemoryStore;
use rocket_typed_session::{Error, Session, SessionId, Sessions, UserSession, session};
use session_core::clock::Timestamp;
use session_core::error::Error as EngineError;
use session_core::record::Record;
use session_core::store::{Created, Delete, Deleted, Key, Store, Update, Updated, Wanted};
use session_core::testing::{Fault, ManualClock, Moment, Verb};
use tokio::task::JoinSet;

use crate::app::Gate;
use crate::redis::commands;
use crate::support::http::{Browser, Request as Sent, Server};
use crate::support::own::{configured, faulty, on_all_stores, quiet};
use crate::support::redis::RedisServer;

#[session(cookie = "visit", idle = "30m", touch = "3m", devices)]
struct Visit {
    #[session(identity, guard(Member, status = 401))]
    user: Option<String>,
    note: String,
    #[session(keep)]
    theme: String,
}

#[session(cookie = "few", max_sessions = 5)]
struct Few {
    #[session(identity)]
    user: Option<String>,
}

#[session(cookie = "fewer", max_sessions = 2, when_full = "refuse")]
struct Fewer {
    #[session(identity)]
    user: Option<String>,
}

#[get("/read")]
fn read(visit: Session<Visit>) -> String {
    let user = visit.user.as_deref().unwrap_or("-");
    format!("{user} {} {}", visit.note, visit.theme)
}

#[post("/note/<text>")]
fn note(mut visit: Session<Visit>, text: &str) {
    visit.note = text.into();
    visit.theme = text.into();
}

#[post("/login/<user>?<label>")]
fn login(mut visit: Session<Visit>, user: String, label: Option<&str>) {
    if let Some(label) = label {
        visit.set_label(label);
    }
    visit.log_in(user);
}

/// Waits, as if to check a password.
#[post("/slow-login/<user>")]
async fn slow_login(mut visit: Session<Visit>, user: String, gate: &State<Arc<Gate>>) {
    gate.pass_if(true).await;
    visit.user = Some(user);
}

#[post("/logout")]
fn logout(mut visit: Session<Visit>) {
    visit.destroy();
}

#[get("/devices")]
async fn devices(member: Member, sessions: Sessions<Visit>) -> Result<String, Error> {
    let mut list = sessions.of(member.clone()).list().await?;
    list.sort_by(|one, other| one.label.cmp(&other.label));
    let list = list.iter().map(|session| {
        let here = if session.is_current { "*" } else { "" };
        format!("{}{here}", session.label)
    });
    Ok(list.collect::<Vec<_>>().join(" "))
}

#[get("/list")]
async fn list(member: Member, sessions: Sessions<Visit>) -> Result<Json<Vec<UserSession>>, Error> {
    Ok(Json(sessions.of(member.clone()).list().await?))
}

#[get("/id")]
fn id(visit: Session<Visit>) -> String {
    visit.id().map_or("-".into(), |id| id.to_string())
}

#[get("/count/<user>")]
async fn count(user: String, sessions: &State<Sessions<Visit>>) -> Result<String, Error> {
    Ok(sessions.of(user).count().await?.to_string())
}

#[post("/end/<id>")]
async fn end(id: SessionId, member: Member, sessions: Sessions<Visit>) -> Result<String, Error> {
    Ok(sessions.of(member.clone()).end(id).await?.to_string())
}

#[post("/end-all/<user>")]
async fn end_all(user: String, sessions: &State<Sessions<Visit>>) -> Result<String, Error> {
    Ok(sessions.of(user).end_all().await?.to_string())
}

#[post("/end-others")]
async fn end_others(member: Member, sessions: Sessions<Visit>) -> Result<String, Error> {
    Ok(sessions.of(member.clone()).end_others().await?.to_string())
}

#[post("/change-password")]
async fn change_password(member: Member, sessions: Sessions<Visit>) -> Result<(), Error> {
    let user = member.clone();
    sessions.of(user.clone()).end_all().await?;
    let mut visit = member.into_session();
    visit.log_in(user);
    visit.save().await
}

#[post("/few/<user>")]
fn few_login(mut few: Session<Few>, user: String) {
    few.log_in(user);
}

#[get("/few")]
fn few_read(few: Session<Few>) -> String {
    few.user.clone().unwrap_or_default()
}

#[get("/few-count/<user>")]
async fn few_count(user: String, sessions: Sessions<Few>) -> Result<String, Error> {
    Ok(sessions.of(user).count().await?.to_string())
}

#[post("/fewer/<user>")]
async fn fewer_login(mut fewer: Session<Fewer>, user: String) -> Result<(), Error> {
    fewer.log_in(user);
    fewer
        .save()
        .await
        .inspect_err(|error| assert!(error.is_full()))
}

#[post("/fewer-logout")]
fn fewer_logout(mut fewer: Session<Fewer>) {
    fewer.destroy();
}

fn app(rocket: Rocket<Build>) -> Rocket<Build> {
    rocket
        .attach(Visit::fairing())
        .attach(Few::fairing())
        .attach(Fewer::fairing())
        .mount(
            "/",
            routes![
                read, note, login, slow_login, logout, devices, list, id, count
            ],
        )
        .mount("/", routes![end, end_all, end_others, change_password])
        .mount(
            "/",
            routes![
                few_login,
                few_read,
                few_count,
                fewer_login,
                fewer_logout,
                fewer_read
            ],
        )
}

async fn on_both(test: impl AsyncFn(&Server, &Gate)) {
    let gate = Arc::new(Gate::new());
    let make = |rocket| app(rocket).manage(Arc::clone(&gate));
    on_all_stores(make, async |server| test(&server, &gate).await).await;
}

async fn logged_in(server: &Server, path: &str) -> Browser {
    let mut browser = server.browser();
    let response = browser.post(path, &[]).await;
    assert_eq!(response.status, 200, "{path}");
    browser
}

async fn user_of(browser: &Browser) -> String {
    let text = browser.clone().get("/read").await.text();
    text.split(' ').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_user_sees_all_devices_and_ends_one() {
    on_both(async |server, _| {
        let mut phone = logged_in(server, "/login/alice?label=phone").await;
        let mut laptop = logged_in(server, "/login/alice?label=laptop").await;
        let bob = logged_in(server, "/login/bob?label=bobs").await;
        assert_eq!(phone.get("/devices").await.text(), "laptop phone*");
        assert_eq!(laptop.get("/devices").await.text(), "laptop* phone");
        let id = phone.get("/id").await.text();
        let other: SessionId = bob.clone().get("/id").await.text().parse().unwrap();
        assert_eq!(
            laptop.post(&uri!(end(other)).to_string(), &[]).await.text(),
            "false"
        );
        assert_eq!(user_of(&bob).await, "bob");
        assert_eq!(laptop.post(&format!("/end/{id}"), &[]).await.text(), "true");
        assert_eq!(user_of(&phone).await, "-");
        assert_eq!(laptop.get("/devices").await.text(), "laptop*");
        assert_eq!(
            laptop.post(&format!("/end/{id}"), &[]).await.text(),
            "false"
        );
        assert_eq!(laptop.post("/end/no-id", &[]).await.status, 422);
        laptop.post("/logout", &[]).await;
        assert_eq!(laptop.get("/count/alice").await.text(), "0");
        assert_eq!(laptop.get("/devices").await.status, 401);
    })
    .await;
}

/// A page's scripts rely on these names, and on instants in RFC 3339.
#[tokio::test]
async fn a_list_goes_into_json_as_it_is() {
    on_both(async |server, _| {
        let mut phone = logged_in(server, "/login/alice?label=phone").await;
        let id = phone.get("/id").await.text();
        let list = phone.get("/list").await.json();
        let mut device = list[0].as_object().unwrap().clone();
        for name in [
            "created_at",
            "authenticated_at",
            "last_seen_at",
            "expires_at",
        ] {
            let instant = device.remove(name).unwrap();
            let instant = instant.as_str().unwrap();
            assert!(
                &instant[10..11] == "T" && instant.ends_with('Z'),
                "{instant}"
            );
        }
        let rest = json!({ "id": id, "label": "phone", "is_current": true });
        assert_eq!(json!(device), rest);
    })
    .await;
}

#[tokio::test]
async fn a_device_is_called_what_its_browser_says_and_cut_to_size() {
    on_both(async |server, _| {
        let mut browser = server.browser();
        let agent = format!("Fire\tfox {}", "x".repeat(300));
        browser
            .send(Sent::post("/login/alice", &[]).header("User-Agent", agent))
            .await;
        let label = browser.get("/devices").await.text();
        assert!(label.starts_with("Firefox xxx"), "{label}");
        assert_eq!(label.len(), 201);
    })
    .await;
}

#[tokio::test]
async fn everywhere_is_everywhere_and_here_is_here() {
    on_both(async |server, _| {
        let mut browsers = Vec::new();
        for _ in 0..4 {
            browsers.push(logged_in(server, "/login/alice").await);
        }
        let bob = logged_in(server, "/login/bob").await;
        let mut here = browsers.pop().unwrap();
        assert_eq!(here.post("/end-others", &[]).await.text(), "3");
        for browser in &browsers {
            assert_eq!(user_of(browser).await, "-");
        }
        assert_eq!(user_of(&here).await, "alice");
        // A login right afterwards stays.
        let again = logged_in(server, "/login/alice").await;
        assert_eq!(user_of(&again).await, "alice");
        assert_eq!(here.post("/change-password", &[]).await.status, 200);
        assert_eq!(user_of(&again).await, "-");
        assert_eq!(user_of(&here).await, "alice");
        assert_eq!(here.post("/end-all/alice", &[]).await.text(), "1");
        assert_eq!(user_of(&here).await, "-");
        assert_eq!(user_of(&bob).await, "bob");
    })
    .await;
}

#[tokio::test]
async fn who_leaves_is_not_listed_any_more() {
    on_both(async |server, _| {
        let mut browser = logged_in(server, "/login/alice").await;
        browser.post("/note/mine", &[]).await;
        browser.post("/login/bob", &[]).await;
        assert_eq!(browser.get("/read").await.text(), "bob  mine");
        assert_eq!(browser.get("/count/alice").await.text(), "0");
        assert_eq!(browser.get("/count/bob").await.text(), "1");
    })
    .await;
}

#[tokio::test]
async fn a_login_keeps_the_session_and_a_first_one_stores_what_it_wrote() {
    on_both(async |server, _| {
        let mut browser = server.browser();
        browser.post("/note/basket", &[]).await;
        let id = browser.get("/id").await.text();
        browser.post("/login/alice", &[]).await;
        assert_eq!(browser.get("/read").await.text(), "alice basket basket");
        assert_eq!(browser.get("/id").await.text(), id);
    })
    .await;
}

#[tokio::test]
async fn a_login_that_began_before_the_end_of_all_is_refused() {
    on_both(async |server, gate| {
        for setup in ["", "/note/basket", "/login/alice"] {
            let mut browser = server.browser();
            if !setup.is_empty() {
                browser.post(setup, &[]).await;
            }
            let mut slow = browser.clone();
            let slow = tokio::spawn(async move {
                let response = slow.post("/slow-login/alice", &[]).await;
                (slow, response)
            });
            gate.entered().await;
            server.browser().post("/end-all/alice", &[]).await;
            gate.release();
            let (slow, response) = slow.await.unwrap();
            // After a login, the request assigned the same user; its session has ended.
            let expected = if setup == "/login/alice" { 200 } else { 503 };
            assert_eq!(response.status, expected, "{setup}");
            assert_ne!(user_of(&slow).await, "alice", "{setup}");
            let mut again = slow;
            assert_eq!(again.post("/login/alice", &[]).await.status, 200);
            assert_eq!(user_of(&again).await, "alice");
            again.post("/logout", &[]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn of_logins_under_way_none_survives_the_end_of_all() {
    on_both(async |server, gate| {
        let mut logins = JoinSet::new();
        for _ in 0..100 {
            let mut browser = server.browser();
            logins.spawn(async move {
                browser.post("/slow-login/alice", &[]).await;
                browser
            });
        }
        for _ in 0..100 {
            gate.entered().await;
        }
        for _ in 0..50 {
            gate.release();
        }
        server.browser().post("/end-all/alice", &[]).await;
        for _ in 0..50 {
            gate.release();
        }
        for browser in logins.join_all().await {
            assert_eq!(user_of(&browser).await, "-");
        }
        assert_eq!(server.browser().get("/count/alice").await.text(), "0");
        let after = logged_in(server, "/login/alice").await;
        assert_eq!(user_of(&after).await, "alice");
    })
    .await;
}

#[tokio::test]
async fn the_oldest_makes_room() {
    on_both(async |server, _| {
        let mut browsers = Vec::new();
        for _ in 0..7 {
            browsers.push(logged_in(server, "/few/alice").await);
        }
        let mut users = Vec::new();
        for browser in &mut browsers {
            users.push(browser.get("/few").await.text());
        }
        assert_eq!(users, ["", "", "alice", "alice", "alice", "alice", "alice"]);
    })
    .await;
}

#[tokio::test]
async fn of_a_thousand_logins_five_live_and_all_of_them_are_usable() {
    on_both(async |server, _| {
        let mut crowd = JoinSet::new();
        for _ in 0..32 {
            let server = server.browser();
            crowd.spawn(async move {
                let mut kept = Vec::new();
                for _ in 0..32 {
                    let mut browser = Browser::new(server.address());
                    // A login that is pushed out again and again is refused.
                    let status = browser.post("/few/alice", &[]).await.status;
                    assert!([200, 503].contains(&status), "{status}");
                    kept.push(browser);
                }
                kept
            });
        }
        let browsers = crowd.join_all().await.concat();
        let count = server.browser().get("/few-count/alice").await.text();
        let mut alive = 0;
        for mut browser in browsers {
            alive += usize::from(browser.get("/few").await.text() == "alice");
        }
        assert_eq!((count.as_str(), alive), ("5", 5));
    })
    .await;
}

#[tokio::test]
async fn one_too_many_is_refused() {
    on_both(async |server, _| {
        let mut first = logged_in(server, "/fewer/alice").await;
        logged_in(server, "/fewer/alice").await;
        let mut third = server.browser();
        assert_eq!(third.post("/fewer/alice", &[]).await.status, 409);
        assert!(third.jar.is_empty());
        // The same session does not count twice.
        assert_eq!(first.post("/fewer/alice", &[]).await.status, 200);
        first.post("/fewer-logout", &[]).await;
        assert_eq!(third.post("/fewer/alice", &[]).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn a_crash_between_two_calls_leaves_no_session_that_cannot_be_ended() {
    for verb in [Verb::Create, Verb::Step, Verb::Update, Verb::Delete] {
        for nth in 1..=3 {
            for moment in [Moment::Before, Moment::After] {
                let store = faulty();
                let fairing = Visit::fairing().store(Arc::clone(&store));
                let rocket = quiet().attach(fairing).manage(Arc::new(Gate::new()));
                let routes = routes![read, note, login, end_all, count, logout];
                let server = Server::launch(rocket.mount("/", routes)).await;
                let mut browsers = vec![logged_in(&server, "/login/alice").await];
                store.on(verb, nth, Fault::Fail(moment));
                for path in ["/login/alice", "/login/bob", "/logout"] {
                    let mut browser = browsers[0].clone();
                    browser.post(path, &[]).await;
                    browsers.push(browser);
                    let mut other = server.browser();
                    other.post("/login/alice", &[]).await;
                    browsers.push(other);
                }
                server.browser().post("/end-all/alice", &[]).await;
                let ended = server.browser().post("/end-all/alice", &[]).await;
                assert_eq!(ended.status, 200);
                for browser in &browsers {
                    assert_ne!(user_of(browser).await, "alice", "{verb:?} {nth} {moment:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_doomed_session_ends_when_it_is_extended() {
    let clock = Arc::new(ManualClock::new());
    let store = faulty();
    let fairing = Visit::fairing()
        .store(Arc::clone(&store))
        .clock(Arc::clone(&clock));
    let rocket = quiet().attach(fairing).manage(Arc::new(Gate::new()));
    let routes = routes![read, note, login, end_all];
    let server = Server::launch(rocket.mount("/", routes)).await;
    for path in ["/read", "/note/x"] {
        let mut browser = logged_in(&server, "/login/alice").await;
        // Doomed, but its record is still there.
        store.on(Verb::Delete, 1, Fault::Fail(Moment::Before));
        store.on(Verb::Delete, 2, Fault::Fail(Moment::Before));
        store.on(Verb::Delete, 3, Fault::Fail(Moment::Before));
        assert_eq!(
            server.browser().post("/end-all/alice", &[]).await.status,
            503
        );
        assert_eq!(user_of(&browser).await, "alice");
        clock.advance(Duration::from_secs(4 * 60));
        match path {
            "/read" => browser.get(path).await,
            _ => browser.post(path, &[]).await,
        };
        assert_eq!(user_of(&browser).await, "-", "{path}");
    }
}

#[tokio::test]
async fn a_session_that_is_not_listed_ends_when_it_is_extended() {
    for path in ["/read", "/note/x"] {
        let redis = RedisServer::start_with_clock();
        let rocket = configured(quiet(), "databases.sessions.url", &redis.url());
        let server = Server::launch(app(rocket).manage(Arc::new(Gate::new()))).await;
        let mut browser = logged_in(&server, "/login/alice").await;
        let keys = redis.all_keys();
        let lists: Vec<_> = keys
            .iter()
            .filter(|key| !redis.keys().contains(key))
            .collect();
        assert_eq!(lists.len(), 1, "{keys:?}");
        redis.command::<()>(&["DEL", lists[0]]);
        assert_eq!(user_of(&browser).await, "alice");
        redis.clock().set("+4m");
        // The answer to an update tells the server's time.
        let mut other = server.browser();
        for note in ["/note/a", "/note/b"] {
            other.post(note, &[]).await;
        }
        match path {
            "/read" => browser.get(path).await,
            _ => browser.post(path, &[]).await,
        };
        assert_eq!(user_of(&browser).await, "-", "{path}");
    }
}

#[tokio::test]
async fn what_is_known_of_a_user_costs_so_many_commands() {
    let redis = RedisServer::start();
    let rocket = configured(quiet(), "databases.sessions.url", &redis.url());
    let server = Server::launch(app(rocket).manage(Arc::new(Gate::new()))).await;
    // The first call of a script loads it.
    let mut warm = logged_in(&server, "/login/eve").await;
    warm.post("/login/mallory", &[]).await;
    warm.post("/logout", &[]).await;
    let monitor = redis.monitor();
    let counts = |name: &str| {
        let commands = commands(&monitor);
        let named = commands.iter().filter(|command| *command == name);
        (named.count(), commands.len())
    };
    let mut browser = logged_in(&server, "/login/alice").await;
    assert_eq!(counts("EVALSHA"), (3, 3), "a login without a session");
    browser.get("/read").await;
    assert_eq!(counts("HMGET"), (1, 1), "a read");
    browser.post("/login/alice", &[]).await;
    assert_eq!(counts("EVALSHA"), (2, 3), "a login again");
    browser.post("/login/bob", &[]).await;
    assert_eq!(counts("EVALSHA"), (5, 6), "a login of another user");
    for _ in 0..9 {
        logged_in(&server, "/login/bob").await;
    }
    counts("EVALSHA");
    assert_eq!(browser.get("/count/bob").await.text(), "10");
    assert_eq!(counts("HMGET"), (10, 1 + 10), "a list of ten");
    browser.post("/end-others", &[]).await;
    assert_eq!(counts("EVALSHA"), (2 + 9, 1 + 2 + 2 * 9), "an end of nine");
    browser.post("/logout", &[]).await;
    assert_eq!(counts("EVALSHA"), (2, 3), "a logout");
}

/// A store without a user index.
#[derive(Debug)]
struct Plain(MemoryStore);

#[rocket::async_trait]
impl Store for Plain {
    async fn load(&self, key: Key, wanted: &Wanted) -> Result<Option<Arc<Record>>, EngineError> {
        self.0.load(key, wanted).await
    }

    async fn create(&self, key: Key, record: Record) -> Result<Created, EngineError> {
        self.0.create(key, record).await
    }

    async fn update(&self, key: Key, update: &Update) -> Result<Updated, EngineError> {
        self.0.update(key, update).await
    }

    async fn delete(&self, key: Key, delete: &Delete) -> Result<Deleted, EngineError> {
        self.0.delete(key, delete).await
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn describe(&self) -> String {
        "plain".into()
    }
}

#[tokio::test]
async fn without_an_index_sessions_work_and_say_so_where_they_are_to_be_listed() {
    let plain = || Visit::fairing().store(Plain(MemoryStore::new()));
    let figment = quiet().figment().clone();
    let figment = figment.merge(("sessions.visit.indexed", false));
    let figment = figment.merge(("sessions.visit.devices", false));
    let not_indexed = quiet().configure(figment).attach(Visit::fairing());
    for rocket in [quiet().attach(plain()), not_indexed] {
        let rocket = rocket.manage(Arc::new(Gate::new()));
        let routes = routes![read, login, logout, end_all, count, devices];
        let server = Server::launch(rocket.mount("/", routes)).await;
        let mut browser = logged_in(&server, "/login/alice").await;
        assert_eq!(user_of(&browser).await, "alice");
        assert_eq!(browser.post("/end-all/alice", &[]).await.status, 500);
        assert_eq!(browser.get("/devices").await.status, 500);
        assert_eq!(user_of(&browser).await, "alice");
        browser.post("/logout", &[]).await;
        assert_eq!(user_of(&browser).await, "-");
    }
    // Without an index, no limit can be kept.
    let launched = quiet().attach(Few::fairing().store(Plain(MemoryStore::new())));
    let error = launched.ignite().await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::FailedFairings(_)),
        "{error}"
    );
}

/// One of two parallel logins finds the token replaced.
#[tokio::test]
async fn a_login_that_was_sent_twice_is_listed_once_and_lives() {
    on_both(async |server, gate| {
        let mut browser = server.browser();
        browser.post("/note/basket", &[]).await;
        let mut slow = browser.clone();
        let slow = tokio::spawn(async move {
            slow.post("/slow-login/alice", &[]).await;
            slow
        });
        gate.entered().await;
        browser.post("/login/alice", &[]).await;
        gate.release();
        let slow = slow.await.unwrap();
        let alive = [user_of(&browser).await, user_of(&slow).await];
        let alive = alive.iter().filter(|user| *user == "alice").count();
        let count = browser.get("/count/alice").await.text();
        assert_eq!(count, alive.to_string());
        server.browser().post("/end-all/alice", &[]).await;
        assert_eq!(user_of(&browser).await, "-");
        assert_eq!(user_of(&slow).await, "-");
    })
    .await;
}

#[tokio::test]
async fn a_session_that_was_remembered_beside_its_login_is_listed_as_long_as_it_lives() {
    let clock = Arc::new(ManualClock::new());
    let gate = Arc::new(Gate::new());
    let store = MemoryStore::with_clock(clock.clone());
    let fairing = Visit::fairing().store(store).clock(Arc::clone(&clock));
    let rocket = quiet().attach(fairing).manage(Arc::clone(&gate));
    let routes = routes![read, note, slow_login, remember, end_all, count];
    let server = Server::launch(rocket.mount("/", routes)).await;
    let mut browser = server.browser();
    browser.post("/note/x", &[]).await;
    let mut slow = browser.clone();
    let slow = tokio::spawn(async move {
        slow.post("/slow-login/alice", &[]).await;
        slow
    });
    gate.entered().await;
    browser.post("/remember", &[]).await;
    gate.release();
    let slow = slow.await.unwrap();
    clock.advance(Duration::from_secs(40 * 60));
    assert_eq!(user_of(&slow).await, "alice");
    assert_eq!(browser.get("/count/alice").await.text(), "1");
    assert_eq!(browser.post("/end-all/alice", &[]).await.text(), "1");
    assert_eq!(user_of(&slow).await, "-");
}

#[post("/remember")]
fn remember(mut visit: Session<Visit>) {
    visit.remember();
}

/// A login that was admitted but not stored leaves the id in alice's list; the session becomes bob's.
#[tokio::test]
async fn nobody_lists_or_ends_what_became_another_users() {
    let store = faulty();
    let fairing = Visit::fairing().store(Arc::clone(&store));
    let rocket = quiet().attach(fairing).manage(Arc::new(Gate::new()));
    let routes = routes![read, note, login, end_all, count];
    let server = Server::launch(rocket.mount("/", routes)).await;
    let mut browser = server.browser();
    browser.post("/note/basket", &[]).await;
    store.on(Verb::Step, 1, Fault::Fail(Moment::After));
    assert_eq!(browser.post("/login/alice", &[]).await.status, 503);
    assert_eq!(browser.post("/login/bob", &[]).await.status, 200);
    assert_eq!(browser.get("/count/alice").await.text(), "0");
    server.browser().post("/end-all/alice", &[]).await;
    assert_eq!(user_of(&browser).await, "bob");
}

#[tokio::test]
async fn who_is_refused_loses_nothing_and_leaves_nothing() {
    on_both(async |server, _| {
        for _ in 0..2 {
            logged_in(server, "/fewer/bob").await;
        }
        let mut alice = logged_in(server, "/fewer/alice").await;
        assert_eq!(alice.post("/fewer/bob", &[]).await.status, 409);
        assert_eq!(alice.get("/fewer-read").await.text(), "alice");
    })
    .await;
    let redis = RedisServer::start();
    let rocket = configured(quiet(), "databases.sessions.url", &redis.url());
    let server = Server::launch(app(rocket).manage(Arc::new(Gate::new()))).await;
    for _ in 0..2 {
        logged_in(&server, "/fewer/bob").await;
    }
    for _ in 0..3 {
        assert_eq!(server.browser().post("/fewer/bob", &[]).await.status, 409);
    }
    assert_eq!(redis.keys().len(), 2);
}

#[get("/fewer-read")]
fn fewer_read(fewer: Session<Fewer>) -> String {
    fewer.user.clone().unwrap_or_default()
}
